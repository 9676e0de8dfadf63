"""`enforcer cluster-check` reads a cluster with kubectl, of which a stand-in responds from a file."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from harness.kubernetes.injection import objects_after, options
from harness.kubernetes.manifests import deployment, template

from enforcer.cli import main
from enforcer.kubernetes.inject.injector import inject_all
from enforcer.kubernetes.sidecar import Mode

KUBECTL = """\
#!{python}
import json, sys
words = [word for word in sys.argv[1:] if not word.startswith("--kubeconfig") and "request-timeout" not in word]
state = json.load(open({state!r}))
state.setdefault("calls", []).append(words)
json.dump(state, open({state!r}, "w"))
if words[0] == "version":
    print(json.dumps({{"serverVersion": state["version"]}}))
elif words[0] == "api-resources":
    print("\\n".join(state["resources"]))
elif "--all-namespaces" in words:
    kinds = [word.partition(".")[0] for word in words[1].split(",")]
    things = [thing for thing in state["objects"] for kind in [thing["kind"].lower()]
              if not {{kind, kind + "s", kind[:-1] + "ies"}}.isdisjoint(kinds)]
    print(json.dumps({{"kind": "List", "items": things}}))
elif words[1] in state["forbidden"]:
    sys.exit("forbidden")
else:
    things = [thing for thing in state["objects"] if (thing["kind"].lower() + "s", thing["metadata"]["name"]) ==
              (words[1], words[2])]
    print(words[1] if things and "--output=name" in words else json.dumps(things[0]) if things else "", end="")
"""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return a function that runs the command in a cluster with these objects, and returns the result and the calls."""

    def run(
        objects: list[Any], *arguments: str, forbidden: tuple[str, ...] = (), minor: str = "34+"
    ) -> tuple[Result, list[list[str]]]:
        state = tmp_path / "state.json"
        resources = ["pods", "networkpolicies.networking.k8s.io", "ciliumnetworkpolicies.cilium.io"]
        version = {"major": "1", "minor": minor}
        parts = {"objects": objects, "resources": resources, "forbidden": forbidden, "version": version}
        state.write_text(json.dumps(parts))
        program = tmp_path / "kubectl"
        program.write_text(KUBECTL.format(python=sys.executable, state=str(state)))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path) + os.pathsep + os.environ["PATH"])
        result = CliRunner().invoke(main, ["cluster-check", *arguments], prog_name="enforcer")
        return result, json.loads(state.read_text()).get("calls", [])

    return run


def pod() -> Any:
    """Return a protected pod."""
    made: Any = template(objects_after(inject_all([deployment()], options(Mode.LOOPBACK)))[0])
    metadata = {**made["metadata"], "name": "web", "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": made["spec"]}


def needed(kind: str, **more: Any) -> Any:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "app-enforcer", "namespace": "shop"}, **more}


def test_a_cluster_as_it_should_be(cluster: Callable[..., Any]) -> None:
    """Exit code 0; kubectl reads only, and of Secrets only the name."""
    things = [pod(), needed("ConfigMap", data={"config.yaml": "rules: []"}), needed("Secret")]
    result, calls = cluster(things, "--image", "e", "--kubeconfig", "k")
    assert result.output.splitlines()[0] == "pod/web -n shop   protected    port 8080 only through the enforcer"
    assert result.exit_code == 0
    assert {words[0] for words in calls} == {"version", "api-resources", "get"}
    assert [words[-2] for words in calls if words[1] == "secrets"] == ["--output=name"]
    assert "ciliumnetworkpolicies.cilium.io" in calls[2][1]


def test_the_version_of_the_cluster_counts(cluster: Callable[..., Any]) -> None:
    """Before 1.32 a Service does not find a native sidecar by the name of its port, which is noted."""
    labels, ports = {"app": "app"}, [{"port": 80, "targetPort": "enforcer-admin"}]
    metadata = {"name": "app", "namespace": "shop"}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"selector": labels, "ports": ports},
    }
    old, new = (cluster([pod(), service], "--image", "e", minor=minor)[0].output for minor in ("31", "34"))
    assert ("finds no such port in its pods" in old, "finds no such port" in new) == (True, False)
    unknown, _ = cluster([], minor="")
    assert (unknown.exit_code, unknown.output) == (2, "kubectl version: the server's version is not known\n")


def test_endpoints_by_hand_are_read(cluster: Callable[..., Any]) -> None:
    """Of both kinds: not every proxy reads EndpointSlices."""
    reference = {"kind": "Pod", "name": "web"}
    by_hand = [
        needed("EndpointSlice", endpoints=[{"targetRef": reference}], ports=[{"port": 3000}]),
        needed("Endpoints", subsets=[{"addresses": [{"targetRef": reference}], "ports": [{"port": 4000}]}]),
    ]
    result, _ = cluster([pod(), *by_hand], "--image", "e")
    assert [line.split(":")[0].split()[-1] for line in result.output.splitlines() if " open " in line] == [
        "3000",
        "4000",
    ]


def test_failures_have_an_exit_code(cluster: Callable[..., Any]) -> None:
    """Also as JSON."""
    result, _ = cluster([pod()], "--image", "e", "-o", "json")
    assert result.exit_code == 1
    checks = json.loads(result.stdout)["checks"]
    assert [check["name"] for check in checks if check["result"] == "missing"] == [
        "configmap/app-enforcer -n shop",
        "secret/app-enforcer -n shop",
    ]


def test_permissions_that_are_missing_are_said(cluster: Callable[..., Any]) -> None:
    """They do not count as failures of the cluster."""
    result, _ = cluster([pod(), needed("ConfigMap", data={})], "--image", "e", forbidden=("secrets",))
    assert "an enforcer needs it; whether it exists cannot be read" in result.output
    assert result.exit_code == 0


def test_a_cluster_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2, with the reason."""
    monkeypatch.setenv("PATH", str(tmp_path))
    result = CliRunner().invoke(main, ["cluster-check"], prog_name="enforcer")
    assert (result.exit_code, result.output) == (2, "kubectl cannot be run: No such file or directory\n")
    (tmp_path / "kubectl").write_text("#!/bin/sh\necho 'no such host' >&2\nexit 1\n")
    (tmp_path / "kubectl").chmod(0o755)
    result = CliRunner().invoke(main, ["cluster-check"], prog_name="enforcer")
    assert (result.exit_code, result.output) == (2, "kubectl version: no such host\n")
