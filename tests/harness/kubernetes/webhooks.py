"""Runs the webhook as a process, against a stand-in for the API server."""

from __future__ import annotations

import base64
import os
import re
import select
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from harness import forkserver, plain_http
from harness.kubernetes.apiserver import CONFIGURATIONS, ApiServer
from harness.processes import Process
from harness.waiting import TIMEOUT

_BOUND = re.compile(rb"bound to \S+:(\d+), admin on \S+:(\d+)\n")
HOST = "injector.enforcer.svc"
SECRET = "/api/v1/namespaces/enforcer/secrets/injector-tls"
CONFIGURATION = f"{CONFIGURATIONS}/injector"
OPTIONS = ("--service", "injector", "--secret", "injector-tls", "--configuration", "injector")


def furnish(server: ApiServer) -> None:
    """Store the objects that the chart creates."""
    server.put(SECRET, type="Opaque")
    service = {"namespace": "enforcer", "name": "injector"}
    server.put(CONFIGURATION, webhooks=[{"name": "pods", "clientConfig": {"service": service}}])


@dataclass
class Webhook:
    """A running webhook: its ports, its process, and its log so far."""

    port: int
    admin_port: int
    process: Process
    server: ApiServer
    logged: bytearray

    def log(self) -> str:
        """Return everything logged so far."""
        while chunk := _read(self.process, 0.0):
            self.logged += chunk
        return self.logged.decode()

    def stop(self) -> int:
        """Send SIGTERM, and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(TIMEOUT)

    @property
    def path(self) -> str:
        """The path in the webhook configuration."""
        return str(self._configured()["service"]["path"])

    def context(self) -> ssl.SSLContext:
        """Return a client's TLS context that trusts only the configured CA bundle."""
        return ssl.create_default_context(cadata=base64.b64decode(self._configured()["caBundle"]).decode())

    def review(self, content: bytes, path: str | None = None, peer: str = "127.0.0.1") -> httpx.Response:
        """Send a review as an API server does: to the Service's name, and to the configured path."""
        url = f"https://127.0.0.1:{self.port}{self.path if path is None else path}?timeout=5s"
        transport = httpx.HTTPTransport(verify=self.context(), local_address=peer)
        with httpx.Client(transport=transport, trust_env=False, timeout=TIMEOUT) as client:
            return client.post(url, content=content, extensions={"sni_hostname": HOST})

    def _configured(self) -> Any:
        return self.server.objects[CONFIGURATION]["webhooks"][0]["clientConfig"]

    def admin(self, path: str) -> httpx.Response:
        """Get a path from the admin server."""
        return plain_http.get(f"http://127.0.0.1:{self.admin_port}{path}")


@contextmanager
def webhook(
    server: ApiServer, options: Sequence[str] = OPTIONS, *, alone: bool = False, **variables: Any
) -> Iterator[Webhook]:
    """Run a webhook until the block ends. `alone` starts it as its users do, so that its memory is its own."""
    location = urlsplit(server.url)
    environment = {"KUBERNETES_SERVICE_HOST": location.hostname, "KUBERNETES_SERVICE_PORT": str(location.port)}
    addresses = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--service-account", str(server.account))
    arguments, variables = ("webhook", *addresses, *options), {**os.environ, **environment, **variables}
    process: Process
    if alone:
        command = [sys.executable, "-m", "enforcer", *arguments]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, bufsize=1, env=variables)
    else:
        process = forkserver.start(arguments, variables)
    logged = bytearray()
    try:
        while (ports := _BOUND.search(logged)) is None:
            chunk = _read(process, TIMEOUT)
            assert chunk, f"the webhook did not start:\n{logged.decode()}"
            logged += chunk
        yield Webhook(int(ports[1]), int(ports[2]), process, server, logged)
    finally:
        process.kill()
        process.wait(TIMEOUT)
        assert process.stderr is not None
        process.stderr.close()


def _read(process: Process, timeout: float) -> bytes:
    """Return what the process logs within a time."""
    assert process.stderr is not None
    return os.read(process.stderr.fileno(), 65536) if select.select([process.stderr], [], [], timeout)[0] else b""
