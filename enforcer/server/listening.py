"""Addresses that are listened on, and the descriptors that all connections need."""

from __future__ import annotations

import errno
import logging
import resource
import socket
from collections.abc import Sequence
from typing import Final

from enforcer.config.effective import upstreams
from enforcer.config.model import Config
from enforcer.errors import EnforcerError
from enforcer.settings.addresses import EVERYWHERE, parse_address

_log = logging.getLogger("enforcer")


class AddressError(EnforcerError):
    """An address that cannot be listened on."""


def raise_descriptor_limit(config: Config) -> None:
    """Raise the limit on descriptors to what all connections that the settings allow need."""
    pools = [server.pool for server in upstreams(config).values()]
    pools += [server.pool for server in config.authorization_servers]
    wanted = config.limits.connections + sum(pool.connections for pool in pools) + 256
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    reachable = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < reachable:
        resource.setrlimit(resource.RLIMIT_NOFILE, (reachable, hard))
    if reachable < wanted:
        _log.warning("limits.connections may not be reached: %d descriptors are allowed, %d needed", reachable, wanted)


def bind(address: str, setting: str) -> list[socket.socket]:
    """Listen on an address, which `setting` chose; raises AddressError."""
    hosts, port = parse_address(address)
    bound: list[socket.socket] = []
    for host in hosts:
        try:
            bound.append(_listen(host, port))
        except OSError as error:
            if bound and hosts == EVERYWHERE and error.errno in _NO_IPV6:
                break
            for one in bound:
                one.close()
            why = "it is taken" if error.errno == errno.EADDRINUSE else error.strerror
            raise AddressError(f"cannot listen on {address}: {why}; choose another with {setting}") from None
        # Where the port is any free one, it is the same everywhere.
        port = bound[0].getsockname()[1]
    return bound


_NO_IPV6: Final = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}


def _listen(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listening.family == socket.AF_INET6:
            # Else it would take IPv4 too, and the address of such a client would be none that anybody compares with.
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((host, port))
        listening.listen(2048)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


def name_of(bound: Sequence[socket.socket]) -> str:
    """Write the addresses that sockets have."""
    addresses = (one.getsockname()[:2] for one in bound)
    return ", ".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in addresses)
