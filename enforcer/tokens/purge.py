"""A purge of the token cache: which tokens it covers. Pure."""

from __future__ import annotations

from typing import Final

from enforcer.tokens.claims import ActiveToken
from enforcer.wire.fields import OWS


class Purge:
    """Covers one `token`, or all tokens of a `subject` or `client_id`, as `what` says."""

    __slots__ = ("_value", "_what")

    def __init__(self, what: str, value: str) -> None:
        self._what: Final = what
        self._value: Final = value

    def covers(self, result: ActiveToken | None, credentials: bytes | None) -> bool:
        """Return whether it covers a token, by its verification result and the Authorization field that it came in."""
        if result is None or credentials is None:
            return False
        if self._what == "token":
            return credentials.strip(OWS).rpartition(b" ")[2] == self._value.encode("utf-8", "surrogatepass")
        return self._value == (result.subject if self._what == "subject" else result.client_id)
