"""Addresses that are listened on, and the descriptors that all connections need."""

from __future__ import annotations

import logging
import resource
import socket
from pathlib import Path

from enforcer.config.addresses import parse_address
from enforcer.config.model import Config
from enforcer.errors import EnforcerError

_log = logging.getLogger("enforcer")


class AddressError(EnforcerError):
    """An address that cannot be listened on."""


def admit(config: Config) -> None:
    """Raise the limit on descriptors to what all connections that the settings allow need."""
    pools = [config.upstream.pool, *(server.pool for server in config.authorization_servers)]
    wanted = config.limits.connections + sum(pool.connections for pool in pools) + 256
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    reachable = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < reachable:
        resource.setrlimit(resource.RLIMIT_NOFILE, (reachable, hard))
    if reachable < wanted:
        _log.warning("limits.connections may not be reached: %d descriptors are allowed, %d needed", reachable, wanted)


def bind(address: str, setting: str, path: Path) -> socket.socket:
    """Listen on an address, which `setting` in the file `path` chose; raises AddressError."""
    host, port = parse_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(2048)
    except OSError as error:
        bound.close()
        why = "it is taken" if error.errno == 98 else error.strerror
        raise AddressError(f"cannot listen on {address}: {why}; choose another with {setting} in {path}") from None
    bound.setblocking(False)
    return bound


def name_of(bound: socket.socket) -> str:
    """Write the address that a socket has."""
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
