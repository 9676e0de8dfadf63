"""Removes the remains of a killed run whose storage no longer exists, which podman does not know about."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

from e2e.tools import attempt, run


def clear(running: Path, subnet: str) -> None:
    """Kill containers whose state is in the folder `running`, and remove the bridge of a subnet with its ports."""
    for file in running.glob("*-containers/*/userdata/pidfile"):
        with suppress(OSError):
            _kill(int(file.read_text()), container=file.parent.parent.name)
    for link in _ip("address", "show", "type", "bridge"):
        addresses = [ip_interface(f"{entry['local']}/{entry['prefixlen']}") for entry in link.get("addr_info", ())]
        if any(str(address.network) == subnet for address in addresses):
            ports = [port["ifname"] for port in _ip("link", "show", "master", link["ifname"])]
            for name in (*ports, link["ifname"]):
                attempt("ip", "link", "delete", name)


def _kill(process: int, container: str) -> None:
    # The process id may have been reused by another process.
    if container in Path(f"/proc/{process}/cgroup").read_text():
        os.kill(process, signal.SIGKILL)


def _ip(*arguments: str) -> list[dict[str, Any]]:
    return list(json.loads(run("ip", "-json", *arguments) or "[]"))
