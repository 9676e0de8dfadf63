"""Runs a pod as the kubelet does: order of containers, probes, hooks, signals."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpx

from e2e.pods.manifests import Container, Template
from e2e.pods.podman import Podman
from e2e.tools import ToolError

_TIMEOUT: Final = 60.0
"""Timeout for a container to become ready, in seconds."""
_PAUSE: Final = 0.1


class Pod:
    """A pod with its `name` and `address`."""

    def __init__(self, podman: Podman, template: Template, name: str, address: str) -> None:
        self._podman = podman
        self.template = template
        self.name = name
        self.address = address

    def start(self) -> None:
        """Start it: init containers in order, each sidecar until it has started, then the app's containers."""
        for container in self.template.containers:
            self._podman("start", self._id(container))
            if container.stays:
                self._await(container, "startupProbe")
            else:
                self._podman("wait", self._id(container))
                if code := self._code(container):
                    raise ToolError(f"{self.name}: {container.name} ended with {code}:\n{self.logs(container.name)}")
        for container in self.template.containers:
            if container.stays:
                self._await(container, "readinessProbe")

    def stop(self) -> dict[str, int]:
        """Stop it: hooks, SIGTERM to the app's containers, then to the sidecars; return the exit codes."""
        deadline = time.monotonic() + self.template.spec.get("terminationGracePeriodSeconds", 30)
        staying = [container for container in self.template.containers if container.stays]
        with ThreadPoolExecutor(2 * len(staying)) as pool:
            hooks = {container.name: pool.submit(self._hook, container, deadline) for container in staying}

            def end(container: Container) -> None:
                hooks[container.name].result()
                self._end(container, deadline)

            list(pool.map(end, [container for container in staying if not container.first]))
            # All hooks run at once; native sidecars get SIGTERM one by one, in reverse order.
            for container in reversed([container for container in staying if container.first]):
                end(container)
        return {container.name: self._code(container) for container in staying}

    def wait(self) -> dict[str, int]:
        """Wait until it has completed; return the exit codes."""
        for container in self.template.containers:
            self._podman("wait", self._id(container))
        return {container.name: self._code(container) for container in self.template.containers}

    def probes(self) -> dict[str, bool]:
        """Return the result of each probe, sent from the node."""
        return {
            f"{container.name} {kind}": self._succeeds(container, container.written[kind])
            for container in self.template.containers
            for kind in ("startupProbe", "livenessProbe", "readinessProbe")
            if kind in container.written
        }

    def exec(self, container: str, *command: str) -> str:
        """Run a program in a container."""
        return self._podman("exec", f"{self.name}-{container}", *command)

    def logs(self, container: str) -> str:
        """Return a container's output."""
        return self._podman.logs(f"{self.name}-{container}")

    def _id(self, container: Container) -> str:
        return f"{self.name}-{container.name}"

    def _code(self, container: Container) -> int:
        return int(self._podman.state(self._id(container))["ExitCode"])

    def _end(self, container: Container, deadline: float) -> None:
        """Send SIGTERM once, and SIGKILL after the deadline.

        `podman stop` would stop the whole pod: its containers get SIGTERM again as soon as one of them has ended.
        """
        self._podman.signal(self._id(container), "TERM")
        while self._podman.state(self._id(container))["Running"]:
            if time.monotonic() > deadline:
                self._podman.signal(self._id(container), "KILL")
            time.sleep(_PAUSE)

    def _await(self, container: Container, kind: str) -> None:
        probe = container.written.get(kind)
        deadline = time.monotonic() + _TIMEOUT
        while not self._succeeds(container, probe):
            if time.monotonic() > deadline or not self._podman.state(self._id(container))["Running"]:
                logs = self.logs(container.name)
                raise ToolError(f"{self.name}: the {kind} of {container.name} fails; its output:\n{logs}")
            time.sleep(_PAUSE)

    def _succeeds(self, container: Container, probe: dict[str, Any] | None) -> bool:
        """Send a probe once, from the node to the pod's address."""
        match probe:
            case None:
                return True
            case {"httpGet": get}:
                return self._get(container, get, probe.get("timeoutSeconds", 1))
            case {"tcpSocket": {"port": port}}:
                try:
                    socket.create_connection((self.address, self._number(container, port)), 1).close()
                except OSError:
                    return False
                return True
            case {"exec": {"command": command}}:
                try:
                    self.exec(container.name, *command)
                except ToolError:
                    return False
                return True
        raise ValueError(f"{container.name}: unknown kind of probe: {probe}")

    def _get(self, container: Container, get: dict[str, Any], timeout: float) -> bool:
        port = self._number(container, get["port"])
        url = f"{get.get('scheme', 'HTTP').lower()}://{self.address}:{port}{get.get('path', '/')}"
        headers = {field["name"]: field["value"] for field in get.get("httpHeaders") or []}
        try:
            # The kubelet verifies no certificate either.
            response = httpx.get(url, headers=headers, timeout=timeout, verify=False, trust_env=False)  # noqa: S501
        except httpx.HTTPError:
            return False
        return 200 <= response.status_code < 400

    def _number(self, container: Container, port: int | str) -> int:
        if isinstance(port, int):
            return port
        return next(int(entry["containerPort"]) for entry in container.written["ports"] if entry.get("name") == port)

    def _hook(self, container: Container, deadline: float) -> None:
        seconds_left = max(0.1, deadline - time.monotonic())
        match (container.written.get("lifecycle") or {}).get("preStop"):
            case {"sleep": {"seconds": seconds}}:
                time.sleep(min(seconds, seconds_left))
            case {"httpGet": get}:
                self._get(container, get, seconds_left)
            case {"exec": {"command": command}}:
                self.exec(container.name, *command)
