"""Access to the admin server: by the name in Host, and by the admin credential.

1. A web page whose name an attacker points to this address (DNS rebinding) could read the metrics with an operator's
   browser. So Host must be an address, or a name that no stranger can register, or one in `admin.hosts`.
2. Wrong credentials are counted by client. A client with too many has to wait, also with the right one, or
   guessing would not be limited. Other clients are not affected.
"""

from __future__ import annotations

import hmac
import logging
import socket
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from ipaddress import ip_address
from typing import Final

from enforcer.clients import client_key
from enforcer.settings.connections.servers import Admin
from enforcer.settings.limits import UnseenSettings
from enforcer.tokens.limiter import ClientLimiter

_log = logging.getLogger("enforcer.admin")

_CLIENTS: Final = 1000
"""Clients whose wrong credentials are counted separately. Bounds memory."""
_INTERNAL: Final = (".localhost", ".svc", ".local", ".internal")
"""Endings of names that nobody can register (RFC 6761 §6.3, RFC 6762 §3), Kubernetes' own among them."""


class Refused(StrEnum):
    """Why the admin server refused a request or a connection. The values are metric labels."""

    CONNECTIONS = "connections"
    CREDENTIAL = "credential"
    HOST = "host"
    LIMIT = "limit"


class AdminAccess:
    """Checks requests to the admin server. `settings` returns those in force, which a reload replaces.

    `refused` counts what was refused, by reason.
    """

    def __init__(self, settings: Callable[[], Admin], clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._burst = 0
        self._limiter: ClientLimiter | None = None
        self.refused: Counter[str] = Counter(dict.fromkeys(Refused, 0))

    @property
    def settings(self) -> Admin:
        """The settings in force."""
        return self._settings()

    def is_known(self, host: str) -> bool:
        """Return whether the value of a Host field names this server; a request without one is not from a browser."""
        name = _name(host)
        known = not name or _is_internal(name) or name in map(str.lower, self.settings.hosts)
        if not known:
            self.refuse(Refused.HOST)
            _log.warning("a request has Host %s, which is not in admin.hosts", name)
        return known

    def wait(self, client: str, authorization: str) -> float | None:
        """Check an Authorization field. Return None if the credential is right, else the seconds until the next try."""
        if not authorization:
            return 0.0
        expected = self.settings.credential
        key = client_key(client)
        if self._limiter is None or self._burst != self.settings.wrong_credentials:
            self._burst = self.settings.wrong_credentials
            self._limiter = ClientLimiter(UnseenSettings(rate=1, burst=self._burst, addresses=_CLIENTS))
        if wait := self._limiter.wait(key, self._clock()):
            self.refuse(Refused.LIMIT)
            return wait
        scheme, _, credential = authorization.partition(" ")
        # In constant time, so that the response time tells nothing about the credential.
        if (
            expected is not None
            and scheme.lower() == "bearer"
            and hmac.compare_digest(credential.encode(), expected.reveal().encode())
        ):
            self._limiter.give_back(key)
            return None
        self.refuse(Refused.CREDENTIAL)
        _log.warning("a request from %s has a wrong admin credential", key)
        return 0.0

    def refuse(self, reason: Refused) -> None:
        """Count a refusal."""
        self.refused[reason] += 1


def _name(host: str) -> str:
    """Return the name or address in a Host field, without port and brackets, in lower case."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0].rstrip(".") if ":" in host else host.rstrip(".")


def _is_internal(name: str) -> bool:
    if "." not in name and ":" not in name:
        return True  # a Service of the same namespace, a host of the same network, localhost
    try:
        ip_address(name.partition("%")[0])
    except ValueError:
        return name.endswith(_INTERNAL) or name == socket.gethostname().lower()
    return True
