"""A purge of the token cache: which tokens it covers. Pure."""

from __future__ import annotations

from typing import Final

from enforcer.tokens.claims import ActiveToken


class Purge:
    """Covers one `token`, or all tokens of a `subject` or `client_id`, as `kind` says."""

    __slots__ = ("_kind", "_value")

    def __init__(self, kind: str, value: str) -> None:
        self._kind: Final = kind
        self._value: Final = value

    def covers(self, result: ActiveToken | None, token: bytes | None) -> bool:
        """Return whether it covers a token, by its verification result and as it was sent."""
        if result is None or token is None:
            return False
        if self._kind == "token":
            return token == self._value.encode("utf-8", "surrogatepass")
        return self._value == (result.subject if self._kind == "subject" else result.client_id)
