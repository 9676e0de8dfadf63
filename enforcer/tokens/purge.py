"""A purge of the token cache: which tokens it covers. Pure."""

from __future__ import annotations

from typing import Final

from enforcer.tokens.claims import ActiveToken
from enforcer.wire.fields import OWS


class Purge:
    """Covers one `token`, or all tokens of a `subject` or `client_id`, as `kind` says."""

    __slots__ = ("_kind", "_value")

    def __init__(self, kind: str, value: str) -> None:
        self._kind: Final = kind
        self._value: Final = value

    def covers(self, result: ActiveToken | None, credentials: bytes | None) -> bool:
        """Return whether it covers a token, by its verification result and the Authorization field that it came in."""
        if result is None or credentials is None:
            return False
        if self._kind == "token":
            return credentials.strip(OWS).rpartition(b" ")[2] == self._value.encode("utf-8", "surrogatepass")
        return self._value == (result.subject if self._kind == "subject" else result.client_id)
