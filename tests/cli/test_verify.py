"""`enforcer verify`: verdicts as text and JSON, and exit codes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result
from harness.kubernetes.injection import objects_after, options
from harness.kubernetes.manifests import deployment, service, written

from enforcer.cli import main
from enforcer.kubernetes.inject.injector import inject_all
from enforcer.kubernetes.sidecar import Mode

BARE = written([deployment(), service()], "indented")


def enforcer_verify(text: str, *arguments: str) -> Result:
    """Run the command with manifests on standard input."""
    return CliRunner().invoke(main, ["verify", "-", *arguments], input=text, prog_name="enforcer")


def injected(mode: Mode) -> str:
    return written(objects_after(inject_all([deployment(), service()], options(mode))), "indented")


@pytest.mark.parametrize(
    ("text", "arguments", "code", "line"),
    [
        (BARE, [], 1, "deployment/app  open         TCP port http 8080 of app: by service/app port 80, the pods'"),
        (BARE, ["-n", "shop"], 1, "deployment/app -n shop  open "),
        (injected(Mode.LOOPBACK), ["--image", "e:9"], 0, "deployment/app  protected    port 8080 only through the"),
        (injected(Mode.LOOPBACK), [], 1, "container enforcer is not recognized as the enforcer: image e:1"),
        (injected(Mode.PORT), ["--image", "e"], 0, "conditional  protected if the network enforces networkpolicy/app-"),
        (injected(Mode.PORT), ["--image", "e", "--no-network-policies"], 1, "NetworkPolicies are not enforced"),
        ("kind: ConfigMap\n", [], 1, "no workload in the input"),
        ("{]", [], 2, "not YAML"),
        (BARE, ["--kube-version", "1"], 2, "expected a version of Kubernetes"),
    ],
)
def test_the_exit_code_says_if_anything_is_open(text: str, arguments: list[str], code: int, line: str) -> None:
    """Wrong usage and unreadable input have another."""
    result = enforcer_verify(text, *arguments)
    assert line in result.output
    assert result.exit_code == code


def test_json_has_every_part_of_a_finding() -> None:
    """For programs that read the reasons."""
    document: Any = json.loads(enforcer_verify(BARE, "-o", "json").stdout)
    (workload,) = document["workloads"]
    assert (workload["workload"], workload["verdict"]) == ("deployment/app", "open")
    (opening,) = workload["openings"]
    assert (opening["port"], opening["protocol"], opening["container"]) == (8080, "TCP", "app")


def test_a_port_can_be_accepted() -> None:
    """For CI, if it is open on purpose."""
    app = deployment({"name": "app", "ports": [{"containerPort": 8080}, {"name": "metrics", "containerPort": 9100}]})
    text = written(objects_after(inject_all([app], options(Mode.LOOPBACK, port=8080))), "indented")
    assert enforcer_verify(text, "--image", "e").exit_code == 1
    assert enforcer_verify(text, "--image", "e", "--accept", "Metrics").exit_code == 0
