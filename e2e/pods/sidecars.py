"""The demo's app and one more, protected by `enforcer inject` in each of its modes, as real pods."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from harness.kubernetes import charts

from e2e import BUILD, HERE, ROOT
from e2e.pods import proofs
from e2e.pods.demo import NAMESPACE, manifests
from e2e.pods.image import IMAGE
from e2e.pods.kubelet import Pod
from e2e.pods.node import running
from e2e.pods.podman import Podman
from e2e.proof import Proof

Object = dict[str, Any]

_ADMIN: Final = 15081
_APP_KINDS: Final = ("Deployment", "Service")
_INTROSPECTION: Final = ("http://127.0.0.1:8085/", "http://authserver:8085/")
"""Address of the authorization server in the project's own configuration, and in the demo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """Options of an injection; `closed` is true if the app's port at the pod's own address is protected, too."""

    name: str
    arguments: Sequence[str]
    closed: bool
    apps: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Additional options for each app, by name."""


_NATIVE: Final = ("--kube-version", "1.33")
_INJECTIONS: Final = (
    Injection(name="port, native", arguments=("--mode", "port", *_NATIVE), closed=False),
    Injection(name="port, classic", arguments=("--mode", "port", "--native-sidecar", "false", *_NATIVE), closed=False),
    Injection(
        name="loopback",
        arguments=("--mode", "loopback", *_NATIVE),
        closed=True,
        apps={"country-app": ("--app-arg", "--host=127.0.0.1"), "echo": ("--app-env", "HOST=127.0.0.1")},
    ),
    Injection(name="transparent", arguments=("--mode", "transparent", *_NATIVE), closed=True),
)


def sidecars(proof: Proof, podman: Podman, folder: Path) -> None:
    """Test all modes."""
    for injection in _INJECTIONS:
        proof.attempt(lambda: _test(proof, podman, folder, injection))  # noqa: B023 - called at once


def _test(proof: Proof, podman: Podman, folder: Path, injection: Injection) -> None:
    proof.part(f"enforcer inject, mode {injection.name}")
    server = _objects_of(manifests(), "authserver")
    apps = {
        "country-app": _objects_of(manifests(), "country-app"),
        "echo": list(charts.read((HERE / "pods" / "echo.yaml").read_text())),
    }
    policy = folder / "policy.yaml"
    policy.write_text(_policy())
    injected = {name: _inject(proof, things, policy, injection, name) for name, things in apps.items()}
    documents = [*server, *(thing for things in injected.values() for thing in things), *map(_credentials, apps)]
    with running(podman, BUILD, documents, NAMESPACE) as node:
        node.start()
        server_url = f"{node.url('authserver', 8085)}/ms-auth-server"
        client = proofs.Client(server_url)
        country, echo = node.url("country-app", 8090), node.url("echo", 80)
        proofs.walk(proof, client, country, server_url)
        proofs.identity(proof, client, f"{echo}/ms-system/country", client.token())
        for workload, port in (("country-app", 8090), ("echo", 8080)):
            _bypass(proof, client, node.of(workload)[0], port, injection)
            proofs.probes(proof, node.of(workload)[0])
        proofs.confinement(proof, node.of("echo")[0], "enforcer")
        proofs.metrics(proof, client, node.of("country-app"), _ADMIN)
        paths = ["/ms-system/country", "/ms-system/country/slow/1"]
        proofs.drain(proof, node, "echo", echo, paths, client.token())


def _bypass(proof: Proof, client: proofs.Client, pod: Pod, port: int, injection: Injection) -> None:
    """Send requests to the app's port at the pod's own address."""
    status = client.status(f"http://{pod.address}:{port}/ms-system/country")
    if injection.closed:
        proof.claim(f"{pod.name}: port {port} at the pod's own address is the enforcer's", 401, status)
    else:
        proof.note(
            f"{pod.name}: port {port} at the pod's own address responds with {status}: a NetworkPolicy must close it"
        )


def _inject(proof: Proof, things: list[Object], policy: Path, injection: Injection, name: str) -> list[Object]:
    """Inject manifests; `uninject` of the output gives the input."""
    before = yaml.safe_dump_all(things, sort_keys=False)
    command: list[str | Path] = [
        "inject",
        "-",
        "--policy",
        policy,
        "--image",
        IMAGE,
        *injection.arguments,
        *injection.apps.get(name, ()),
    ]
    after, report = _enforcer(before, command)
    for line in report.splitlines():
        proof.note(line)
    back, _ = _enforcer(after, ["uninject", "-"])
    proof.holds(f"{name}: enforcer uninject restores the input byte for byte", back == before)
    return list(charts.read(after))


def _enforcer(text: str, arguments: Iterable[str | Path]) -> tuple[str, str]:
    command = [sys.executable, "-m", "enforcer", *map(str, arguments)]
    process = subprocess.run(command, input=text, capture_output=True, text=True, cwd=ROOT, check=False)  # noqa: S603
    if process.returncode:
        raise AssertionError(f"{' '.join(command)}\nended with {process.returncode}: {process.stderr}")
    return process.stdout, process.stderr


def _policy() -> str:
    """Return the project's own configuration, with the demo's address of the server, and its own client."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8").replace(*_INTROSPECTION))
    return yaml.safe_dump({key: config[key] for key in ("authorization_servers", "rules")})


def _credentials(app: str) -> Object:
    """Create the Secret that a user creates."""
    values = {"client-id": "service-client-jwt", "client-secret": "service-client-jwt-secret"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"{app}-enforcer"}, "stringData": values}


def _objects_of(things: list[Object], name: str) -> list[Object]:
    """Return the demo's Deployment and Service of an app."""
    return [thing for thing in things if thing["metadata"]["name"] == name and thing["kind"] in _APP_KINDS]
