"""Which authorization server a token is shown to: the one that issued it, and no other.

1. A JWT goes to the server whose issuer it names. That name is not verified here, and nothing else follows from it. One
   that names none (RFC 9068 §2.2 has it that it does) is shown to no server whose issuer is known.
2. A token of any other form goes to the first server of its rule, and to the next ones, in their order, only where the
   rule says so, since that shows it to servers that did not issue it.
3. What a server says counts for its own tokens: one that it calls another server's is worth nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from enforcer.errors import IntrospectionError
from enforcer.tokens.introspection.client import Done
from enforcer.tokens.introspection.response import INACTIVE, Active, Answer
from enforcer.tokens.jwt.jws import looks_like_jwt, unverified_issuer
from enforcer.tokens.verifier import Source


@dataclass(frozen=True, slots=True)
class Domain:
    """The issuers that a server speaks for: its `own`, where that is known, and none of `others`, which are others'."""

    own: str | None = None
    others: frozenset[str] = frozenset()

    def admits(self, token: bytes) -> bool:
        """Tell whether a token may be shown to the server: it may be its own, as far as the token says."""
        if not looks_like_jwt(token):
            return True
        issuer = unverified_issuer(token)
        return issuer not in self.others if self.own is None else issuer == self.own

    def covers(self, answer: Active) -> bool:
        """Tell whether what the server says is about a token of its own."""
        return answer.issuer not in self.others


class OwnTokens:
    """A `Source` that asks another one about tokens of its domain alone; the rest are worth nothing here."""

    def __init__(self, source: Source, domain: Domain) -> None:
        self._source = source
        self._domain = domain
        self.circuit_open = source.circuit_open
        self.close = source.close

    def introspect(self, token: bytes, done: Done) -> None:
        """Ask about a token; `done` gets the answer, or the error, exactly once, now or later."""
        if self._domain.admits(token):
            self._source.introspect(token, lambda told: done(self._own(told)))
        else:
            done(INACTIVE)

    def _own(self, told: Answer | IntrospectionError) -> Answer | IntrospectionError:
        return INACTIVE if isinstance(told, Active) and not self._domain.covers(told) else told
