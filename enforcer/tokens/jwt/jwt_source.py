"""Verifies JWTs by the keys of the server that issued them, and other tokens, if at all, by introspection."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from enforcer.errors import IntrospectionError
from enforcer.settings.jwt import JwtSettings
from enforcer.tokens.introspection.response import INACTIVE, IntrospectionOutcome, VerificationResult
from enforcer.tokens.jwt.jwks import KeySet
from enforcer.tokens.jwt.jws import looks_like_jwt
from enforcer.tokens.jwt.jwt import NeedsKey, verify
from enforcer.tokens.remote_document import RemoteDocument
from enforcer.tokens.verifier import TokenSource
from enforcer.wire.callback import Callback


class JwtSource:
    """A `TokenSource` for the tokens of `issuer`: JWTs are verified by `keys`, all others by `others`.

    Without `others` they are inactive, and nobody is asked. `clock` gives seconds since the epoch.
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

    def introspect(self, token: bytes, callback: Callback[IntrospectionOutcome]) -> IntrospectionOutcome | None:
        """Verify a token; keys that may be missing are fetched first."""
        if not looks_like_jwt(token):
            return INACTIVE if self._others is None else self._others.introspect(token, callback)
        keys = self._keys.current
        result = None if keys is None else self._verify(token, keys)
        if result is not None:
            return result
        newer = self._keys.refresh(partial(self._on_keys, token, callback))
        return None if newer is None else self._verify_by_newest(token, newer)

    def close(self) -> None:
        """Stop background work; later calls are still served."""
        self._keys.close()
        if self._others is not None:
            self._others.close()

    def circuit_open(self) -> bool:
        """Return whether a circuit breaker stops introspection requests."""
        return self._others is not None and self._others.circuit_open()

    def _on_keys(
        self, token: bytes, callback: Callback[IntrospectionOutcome], keys: KeySet | IntrospectionError
    ) -> None:
        callback(self._verify_by_newest(token, keys))

    def _verify_by_newest(self, token: bytes, keys: KeySet | IntrospectionError) -> IntrospectionOutcome:
        # With the server's newest keys, a key that is not among them is not the server's.
        return keys if isinstance(keys, IntrospectionError) else self._verify(token, keys) or INACTIVE

    def _verify(self, token: bytes, keys: KeySet) -> VerificationResult | None:
        outcome = verify(token, keys, self._issuer, self._settings, self._clock())
        return None if isinstance(outcome, NeedsKey) else outcome
