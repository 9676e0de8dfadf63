"""The injector, installed by the chart; its webhook runs on this machine, at the Service's address."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from harness.kubernetes import charts
from harness.waiting import eventually

from e2e.cluster.controlplane import ControlPlane
from e2e.cluster.renders import known
from e2e.tools import ToolError, attempt, run

Object = dict[str, Any]

NAMESPACE: Final = "enforcer"
NAME: Final = "enforcer-injector"
_TIMEOUT: Final = 30.0


def install(cluster: ControlPlane, values: Object | None = None) -> list[Object]:
    """Install or upgrade the chart in mode injector, with more values; returns its objects."""
    changed = charts.merged(charts.values("injector"), {"injector": values or {}})
    objects = known(charts.objects(changed, namespace=NAMESPACE))
    cluster("apply", "--validate=strict", "-f", "-", documents=objects)
    return objects


class Webhook:
    """A running webhook; `url` is that of its reviews, `admin` that of its health and metrics."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, admin: str, log: Path) -> None:
        self._process = process
        self.url = url
        self.admin = admin
        self.log = log

    def metrics(self) -> str:
        """Return its metrics."""
        return httpx.get(f"{self.admin}/metrics", trust_env=False).text

    def stop(self) -> int:
        """Stop it and return its exit code."""
        self._process.terminate()
        return self._process.wait(_TIMEOUT)


@contextmanager
def webhook(cluster: ControlPlane, objects: list[Object], folder: Path) -> Iterator[Webhook]:
    """Run the Deployment's container until the block ends, with only the permissions of its ServiceAccount."""
    (container,) = charts.only(objects, "Deployment", NAME)["spec"]["template"]["spec"]["containers"]
    address = cluster.get("service", "-n", NAMESPACE, NAME)["spec"]["clusterIP"]
    account = cluster.account(folder, NAMESPACE, NAME)
    location = urlsplit(cluster.url)
    # The last option wins: these override the options that refer to a pod.
    overrides = [f"--listen={address}:443", "--admin=127.0.0.1:0", f"--service-account={account}", "--log-format=text"]
    if "--client-ca=/etc/enforcer-client-ca/ca.crt" in container["args"]:
        overrides.append(f"--client-ca={cluster.ca}")
    log = folder / "webhook.log"
    run("ip", "address", "add", f"{address}/32", "dev", "lo")
    try:
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", "enforcer", *container["args"], *overrides],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={
                    **os.environ,
                    "KUBERNETES_SERVICE_HOST": str(location.hostname),
                    "KUBERNETES_SERVICE_PORT": str(location.port),
                },
            )
        try:
            yield Webhook(process, f"https://{address}:443", _ready(process, log), log)
        finally:
            process.kill()
            process.wait()
    finally:
        attempt("ip", "address", "del", f"{address}/32", "dev", "lo")


def _ready(process: subprocess.Popen[bytes], log: Path) -> str:
    """Wait until it reviews pods; returns the URL of its admin server."""

    def admin() -> str | None:
        match = re.search(r"admin on (\S+)", log.read_text("utf-8"))
        return f"http://{match[1]}" if match else None

    def ready() -> bool:
        return bool(admin()) and httpx.get(f"{admin()}/readyz", trust_env=False).is_success

    if not eventually(lambda: process.poll() is not None or ready(), _TIMEOUT) or process.poll() is not None:
        raise ToolError(f"the webhook did not start:\n{log.read_text('utf-8')}")
    return str(admin())
