"""`make kind`: its steps fit the manifests, and it runs them with stand-ins for docker, kind and kubectl."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from harness.demo_processes import listening
from harness.kubernetes.charts import only
from harness.processes import enforcer
from kustomize.rendering import rendered

from e2e.kind import CLUSTER, ISSUER, OVERLAY, WORKLOADS, forwards, main, steps

ROOT = Path(__file__).parent.parent
IMAGE = f"token-enforcer:{version('token-enforcer')}"
TIMEOUT = 120.0
STAND_IN = """\
#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
case "$*" in
  "get clusters") echo "$CLUSTERS" ;;
  *port-forward*) exec sleep 1000 ;;
esac
"""


def commands(*, exists: bool) -> list[str]:
    return [str(step) for step in steps(exists=exists)]


def test_the_image_has_the_tag_of_the_manifests() -> None:
    """Otherwise the pods would wait for an image that nobody has loaded."""
    demo = rendered("demo")
    images = {
        container["image"]
        for thing in demo
        if thing["kind"] == "Deployment"
        for container in thing["spec"]["template"]["spec"]["containers"]
    }
    assert images == {IMAGE}
    assert f"kind load docker-image {IMAGE} --name {CLUSTER}" in commands(exists=False)
    default = subprocess.run(
        ["make", "--silent", "image", "BUILDER=echo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=True,
    )
    assert f"--tag {IMAGE} " in default.stdout


def test_it_waits_for_every_workload_and_forwards_to_services() -> None:
    """Of the overlay that it installs."""
    demo = rendered("demo")
    assert (ROOT / OVERLAY / "kustomization.yaml").exists()
    assert set(WORKLOADS) == {thing["metadata"]["name"] for thing in demo if thing["kind"] == "Deployment"}
    for step in forwards(8091, 8085):
        name, port = step.command[-2].removeprefix("service/"), int(step.command[-1].rpartition(":")[2])
        assert port in [entry["port"] for entry in only(demo, "Service", name)["spec"]["ports"]]


def test_an_existing_cluster_gets_new_pods() -> None:
    """The image has the same name as before, so that nothing else would replace them."""
    assert not any("create cluster" in command for command in commands(exists=True))
    assert any("rollout restart" in command for command in commands(exists=True))
    assert not any("rollout restart" in command for command in commands(exists=False))


def test_no_other_cluster_is_touched() -> None:
    """Every command names the context, because kubectl's current one may be another cluster."""
    for command in (*commands(exists=True), *map(str, forwards(1, 2))):
        assert not command.startswith("kubectl") or command.startswith(f"kubectl --context kind-{CLUSTER} ")


def test_a_dry_run_prints_the_commands_and_runs_none() -> None:
    """Also on a machine without docker and kind."""
    result = CliRunner().invoke(main, ["--dry-run"], env={"PATH": ""})
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"$ {text}" for text in [*commands(exists=False), *map(str, forwards(8091, 8085))]
    ]


def test_missing_programs_are_listed_with_an_alternative() -> None:
    """All at once."""
    result = CliRunner().invoke(main, [], env={"PATH": ""})
    assert result.exit_code == 2
    assert [line.partition(" ")[0] for line in result.stderr.splitlines()[:3]] == ["docker", "kind", "kubectl"]
    assert "`make e2e-pods` real pods with podman" in result.stderr


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put stand-ins for the programs before the real ones; returns the file with their calls."""
    for name in ("docker", "kind", "kubectl"):
        (tmp_path / name).write_text(STAND_IN)
        (tmp_path / name).chmod(0o755)
    calls = tmp_path / "calls"
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(calls))
    return calls


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "e2e.kind", "--once", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT, check=False)


def test_it_plays_the_walk_behind_the_forwarded_ports(programs: Path, tmp_path: Path) -> None:
    """Against the demo's programs, which listen where kubectl would forward to. It ends what it has started."""
    demo = yaml.safe_load(only(rendered("demo"), "ConfigMap", "enforcer")["data"]["config.yaml"])
    with listening("authserver", "--issuer", ISSUER) as (_, auth), listening("country_app") as (_, app):
        auth_port, app_port = (re.findall(r"port (\d+)", line)[0] for line in (auth, app))
        (server,) = demo["authorization_servers"]
        server["introspection_endpoint"] = f"http://127.0.0.1:{auth_port}/ms-auth-server/oauth2/introspect"
        (tmp_path / "secret").write_text("service-client-jwt-secret")
        server["client_secret"] = {"file": str(tmp_path / "secret")}
        demo |= {"upstream": {"url": f"http://127.0.0.1:{app_port}"}, "listener": {"address": "127.0.0.1:0"}}
        demo |= {"admin": {"address": "127.0.0.1:0"}}
        with enforcer(yaml.safe_dump(demo)) as running:
            ended = run("--port", str(running.port), "--auth-port", auth_port)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "every step is right" in ended.stdout
    assert "kind delete cluster --name enforcer" in ended.stdout
    calls = programs.read_text().splitlines()
    assert calls[:2] == ["docker info", "kind get clusters"]
    expected = [text for text in commands(exists=False) if not text.startswith("make")]
    assert [
        call for call in calls[2:] if not call.startswith(("docker", "kubectl --context kind-enforcer port-forward"))
    ] == expected
    assert any(call.startswith(f"docker build --tag {IMAGE}") for call in calls)


def test_a_failed_step_ends_it(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the step's name; nothing after it runs."""
    (programs.parent / "kind").write_text('#!/bin/sh\n[ "$1" = get ] || exit 3\n')
    ended = run()
    assert ended.returncode == 2
    assert "Create the cluster: kind ended with 3" in ended.stderr
    assert "kubectl" not in programs.read_text()
