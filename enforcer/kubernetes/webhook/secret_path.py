"""Authenticates API servers by a path that only they and administrators know.

By default an API server presents no credentials to a webhook. But it sends reviews to the path in the webhook
configuration, which tenants of a cluster cannot read. So a random path says that a review comes from an API server.

1. The path is derived from a key in the webhook's Secret and from the time, so that all replicas know it.
2. It changes every ten minutes, because an API server shows it to users in the error message of a failed review.
3. A replica also accepts the path before and after, and the one that was last published: neither a clock that differs
   nor an API server that cannot be reached stops reviews.
"""

from __future__ import annotations

import base64
import hmac
import logging
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from enforcer.errors import EnforcerError
from enforcer.kubernetes.webhook.own_objects import OwnObjects
from enforcer.yamltext.objects import section

_log = logging.getLogger("enforcer.webhook")

PATH: Final = "/inject"
"""The path of reviews if API servers are authenticated by a client certificate; otherwise the prefix of the path."""
PERIOD: Final = timedelta(minutes=10)
"""Time between two paths. A path is accepted for at most twice as long after it was replaced."""
KEY: Final = "path.key"
"""The Secret's key for the key from which paths are derived."""
_BYTES: Final = 32


class PathError(EnforcerError):
    """A Secret whose key for paths cannot be used."""


def path_of(key: bytes, period: int) -> str:
    """Return the path of a period. Each segment is a DNS label, as API servers require."""
    return f"{PATH}/{hmac.digest(key, b'path %d' % period, 'sha256')[:16].hex()}"


class SecretPath:
    """The path of reviews; accepts none before the first round."""

    def __init__(self, objects: OwnObjects, clock: Callable[[], datetime]) -> None:
        self._objects = objects
        self._clock = clock
        self._key = b""
        self._published: frozenset[str] = frozenset()

    def accepts(self, path: str) -> bool:
        """Return whether an API server sent a request with this path; takes the same time for all paths."""
        if not self._key:
            return False
        # No short circuit: the time must not depend on the path that is the right one.
        known = {*self._paths(-1, 0, 1), *self._published}
        return sum(hmac.compare_digest(path.encode("latin-1"), other.encode()) for other in known) > 0

    async def round(self) -> None:
        """Do one round: create the key if there is none, and publish the path if it is due; raises EnforcerError."""
        self._key = await self._read_key()
        due = self._paths(0, 1)
        values = await self._objects.publish(("service", "path"), due[0], lambda present: present in due)
        self._published = frozenset(values)

    def _paths(self, *periods: int) -> list[str]:
        current = int(self._clock().timestamp() // PERIOD.total_seconds())
        return [path_of(self._key, current + period) for period in periods]

    async def _read_key(self) -> bytes:
        secret = await self._objects.secret()
        if not (text := section(secret, "data").get(KEY)):
            text = base64.b64encode(secrets.token_bytes(_BYTES)).decode()
            await self._objects.store(secret, {KEY: text})
            _log.info("created a new key for the path of reviews")
        try:
            key = base64.b64decode(text, validate=True)
        except (ValueError, TypeError):
            key = b""
        if len(key) != _BYTES:
            raise PathError(f"Secret {self._objects.names.secret}: {KEY} is not a key; delete it to have it created")
        return key
