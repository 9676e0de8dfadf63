"""Tells what signed tokens are worth by the keys of the server that issued them, and asks it about all others, if at
all."""

from __future__ import annotations

from collections.abc import Callable

from enforcer.errors import IntrospectionError
from enforcer.settings.jwt import JwtSettings
from enforcer.tokens.introspection.client import Done
from enforcer.tokens.introspection.response import INACTIVE, VerificationResult
from enforcer.tokens.jwt.jwks import KeySet
from enforcer.tokens.jwt.jws import looks_like_jwt
from enforcer.tokens.jwt.jwt import NeedsKey, verify
from enforcer.tokens.remote_document import RemoteDocument
from enforcer.tokens.verifier import TokenSource


class JwtSource:
    """A `TokenSource` for the tokens of `issuer`: JWTs are verified by `keys`, and `others` verifies the rest.

    Without `others` the rest are worth nothing, and nobody is asked. `clock` gives seconds since the epoch.
    """

    def __init__(
        self,
        keys: RemoteDocument[KeySet],
        issuer: str,
        settings: JwtSettings,
        others: TokenSource | None,
        clock: Callable[[], float],
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._settings = settings
        self._others = others
        self._clock = clock

    def introspect(self, token: bytes, done: Done) -> None:
        """Verify a token, or ask about it; `done` gets the answer, or the error, exactly once, now or later."""
        if not looks_like_jwt(token):
            if self._others is None:
                done(INACTIVE)
            else:
                self._others.introspect(token, done)
            return
        keys = self._keys.good
        answer = self._verify(token, keys) if keys is not None else None
        if answer is not None:
            done(answer)
            return

        def renewed(outcome: KeySet | IntrospectionError) -> None:
            if isinstance(outcome, IntrospectionError):
                done(outcome)
            else:
                # With the server's newest keys, one that is not among them is nobody's.
                done(self._verify(token, outcome) or INACTIVE)

        self._keys.renew(renewed)

    def close(self) -> None:
        """End what goes on in the background; who still asks is answered as before."""
        self._keys.close()
        if self._others is not None:
            self._others.close()

    def circuit_open(self) -> bool:
        """Tell whether the server failed too often, and is left alone for a while."""
        return self._others is not None and self._others.circuit_open()

    def _verify(self, token: bytes, keys: KeySet) -> VerificationResult | None:
        outcome = verify(token, keys, self._issuer, self._settings, self._clock())
        return None if isinstance(outcome, NeedsKey) else outcome
