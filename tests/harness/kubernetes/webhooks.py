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
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from harness.kubernetes.apiserver import CONFIGURATIONS, ApiServer

_TIMEOUT = 60.0  # seconds; only a broken process takes as long
_BOUND = re.compile(r"bound to \S+:(\d+), admin on \S+:(\d+)")
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
    process: subprocess.Popen[str]
    server: ApiServer
    lines: list[str] = field(default_factory=list)

    def log(self) -> str:
        """Return everything logged so far."""
        stream = self.process.stderr
        assert stream is not None
        while select.select([stream], [], [], 0)[0] and (line := stream.readline()):
            self.lines.append(line)
        return "".join(self.lines)

    def stop(self) -> int:
        """Send SIGTERM, and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_TIMEOUT)

    def review(self, content: bytes) -> httpx.Response:
        """Send a review as an API server does: to the Service's name, trusting only the configured CA bundle."""
        bundle = self.server.objects[CONFIGURATION]["webhooks"][0]["clientConfig"]["caBundle"]
        context = ssl.create_default_context(cadata=base64.b64decode(bundle).decode())
        with httpx.Client(verify=context, trust_env=False, timeout=_TIMEOUT) as client:
            return client.post(
                f"https://127.0.0.1:{self.port}/inject", content=content, extensions={"sni_hostname": HOST}
            )

    def admin(self, path: str) -> httpx.Response:
        """Get a path from the admin server."""
        return httpx.get(f"http://127.0.0.1:{self.admin_port}{path}", trust_env=False)


@contextmanager
def webhook(server: ApiServer, options: Sequence[str] = OPTIONS, **variables: Any) -> Iterator[Webhook]:
    """Run a webhook until the block ends."""
    location = urlsplit(server.url)
    environment = {"KUBERNETES_SERVICE_HOST": location.hostname, "KUBERNETES_SERVICE_PORT": str(location.port)}
    addresses = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--service-account", str(server.account))
    process = subprocess.Popen(
        [sys.executable, "-m", "enforcer", "webhook", *addresses, *options],
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
        env={**os.environ, **environment, **variables},
    )
    assert process.stderr is not None
    lines: list[str] = []
    deadline = time.monotonic() + _TIMEOUT
    try:
        while True:
            ready = select.select([process.stderr], [], [], deadline - time.monotonic())[0]
            line = process.stderr.readline() if ready else ""
            if not line:
                raise AssertionError("the webhook did not start:\n" + "".join(lines))
            lines.append(line)
            if ports := _BOUND.search(line):
                yield Webhook(int(ports[1]), int(ports[2]), process, server, lines)
                return
    finally:
        process.kill()
        process.wait(_TIMEOUT)
        process.stderr.close()
