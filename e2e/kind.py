"""`python -m e2e.kind`: the demo on a Kubernetes cluster in containers (kind), with one command.

It builds the image, loads it into the cluster, applies k8s/overlays/demo, waits, forwards ports to this machine, and
plays the walk of `enforcer demo`. The cluster stays, to be looked at.
"""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

import click
import httpx
from harness.waiting import eventually

from e2e import ROOT
from e2e.tools import Tool, ToolError, attempt, missing
from enforcer.cli._walk import Walk, show
from enforcer.kubernetes.names import IMAGE

TOOLS: Final = (
    Tool("docker", "https://docs.docker.com/engine/install"),
    Tool("kind", "https://kind.sigs.k8s.io/docs/user/quick-start"),
    Tool("kubectl", "https://kubernetes.io/docs/tasks/tools"),
)
CLUSTER: Final = "enforcer"
OVERLAY: Final = "k8s/overlays/demo"
WORKLOADS: Final = ("authserver", "country-app", "enforcer")
ISSUER: Final = "http://localhost:8085/ms-auth-server"
"""The issuer of the demo's authorization server, wherever it is reached."""
_SECONDS: Final = 180
"""Timeout for the pods to become ready: a laptop may be slow."""
_WITHOUT: Final = (
    "without docker and kind, `make demo` runs the same programs, and `make e2e-pods` real pods with podman"
)


@dataclass(frozen=True, slots=True)
class Step:
    """A step: its title and its command."""

    title: str
    command: Sequence[str]

    def __str__(self) -> str:
        return shlex.join(self.command)


def kubectl(*arguments: str) -> Sequence[str]:
    """Return a kubectl command for the cluster, whatever the current context is."""
    return ("kubectl", "--context", f"kind-{CLUSTER}", *arguments)


def steps(*, exists: bool) -> Iterator[Step]:
    """Yield the steps up to running pods; `exists` if there is the cluster already, from an earlier run."""
    image = f"{IMAGE}:{version('token-enforcer')}"
    yield Step("Build the image", ("make", "image", "BUILDER=docker", f"IMAGE={image}"))
    if not exists:
        yield Step("Create the cluster", ("kind", "create", "cluster", "--name", CLUSTER, "--wait", f"{_SECONDS}s"))
    yield Step("Load the image", ("kind", "load", "docker-image", image, "--name", CLUSTER))
    yield Step("Install the demo", kubectl("apply", "-k", OVERLAY))
    deployments = [f"deployment/{name}" for name in WORKLOADS]
    if exists:
        # The image has the same name as before.
        yield Step("Replace the pods", kubectl("rollout", "restart", *deployments))
    for name in deployments:
        yield Step(f"Wait for {name}", kubectl("rollout", "status", name, f"--timeout={_SECONDS}s"))


def forwards(port: int, auth_port: int) -> Iterator[Step]:
    """Yield the commands that forward ports of this machine to Services, until they are stopped."""
    yield Step("Forward the enforcer", kubectl("port-forward", "service/enforcer", f"{port}:80"))
    yield Step("Forward the authorization server", kubectl("port-forward", "service/authserver", f"{auth_port}:8085"))


@click.command()
@click.option("--once", is_flag=True, help="Stop after the walk; the cluster stays.")
@click.option("--dry-run", is_flag=True, help="Print the commands of a first run, and run none.")
@click.option("--port", type=click.IntRange(1, 65535), default=8091, show_default=True, help="Port of the enforcer.")
@click.option(
    "--auth-port",
    type=click.IntRange(1, 65535),
    default=8085,
    show_default=True,
    help="Port of the authorization server.",
)
def main(once: bool, dry_run: bool, port: int, auth_port: int) -> None:
    """Run the demo on a cluster of kind, and play its walk. Needs docker, kind and kubectl."""
    if dry_run:
        for step in (*steps(exists=False), *forwards(port, auth_port)):
            click.echo(f"$ {step}")
        return
    try:
        _demand()
        for step in steps(exists=CLUSTER in attempt("kind", "get", "clusters").stdout.split()):
            _run(step)
        with _forwarded(list(forwards(port, auth_port)), port, auth_port):
            right = _walk(port, auth_port)
            if not once:
                click.echo(f"\nThe enforcer is at http://localhost:{port} until Ctrl-C.")
                _wait()
    except ToolError as error:
        click.echo(error, err=True)
        sys.exit(2)
    click.echo(f"Remove the cluster with: kind delete cluster --name {CLUSTER}")
    sys.exit(0 if right else 1)


def _demand() -> None:
    problems = missing(*TOOLS)
    if not problems and attempt("docker", "info").returncode:
        problems = ["docker does not respond: its daemon must be running, and you must be allowed to use it"]
    if problems:
        raise ToolError("\n".join((*problems, _WITHOUT)))


def _run(step: Step) -> None:
    """Run a step, with its output shown; raises ToolError if it fails."""
    click.echo(f"\n{click.style(step.title, bold=True)}\n$ {step}")
    code = subprocess.run([*step.command], cwd=ROOT, check=False).returncode  # noqa: S603 - our own command lines
    if code:
        raise ToolError(f"{step.title}: {step.command[0]} ended with {code}")


@contextmanager
def _forwarded(commands: Sequence[Step], *ports: int) -> Iterator[None]:
    """Forward ports until the block ends; raises ToolError if a port is in use."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        for step in commands:
            click.echo(f"$ {step} &")
            running.append(subprocess.Popen([*step.command], stdout=subprocess.DEVNULL, process_group=0))  # noqa: S603
        ready = eventually(lambda: any(process.poll() is not None for process in running) or all(map(_responds, ports)))
        if not ready or any(process.poll() is not None for process in running):
            raise ToolError("a port could not be forwarded; choose others: make kind PORT=8191 AUTH_PORT=8185")
        yield
    finally:
        for process in running:
            process.terminate()
            process.wait()


def _wait() -> None:
    """Wait for Ctrl-C, or for SIGTERM, which would otherwise leave the forwarding processes behind."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        signal.pause()
    except KeyboardInterrupt:
        click.echo()


def _responds(port: int) -> bool:
    try:
        return bool(httpx.get(f"http://localhost:{port}/", trust_env=False).status_code)
    except httpx.HTTPError:
        return False


def _walk(port: int, auth_port: int) -> bool:
    """Play the walk of `enforcer demo`; returns whether every step was right."""
    with httpx.Client(trust_env=False, timeout=20.0) as client:
        reached = f"http://localhost:{auth_port}/ms-auth-server"
        return show(Walk(client, f"http://localhost:{port}", ISSUER, reached).steps(), lambda: False)


if __name__ == "__main__":
    main(prog_name="python -m e2e.kind")
