"""Reads the key sets that are fetched from an authorization server, and reports their faults."""

from __future__ import annotations

import logging

from enforcer.tokens.jwt.jwks import KeySet, describe, parse

_log = logging.getLogger("enforcer.tokens")


class KeyReader:
    """Reads the key sets of server `name`. A key that cannot be used is logged once, until it is usable or gone."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._reported: frozenset[str] = frozenset()

    def read(self, body: bytes) -> KeySet:
        """Read a key set; raises IntrospectionError (malformed)."""
        keys = parse(body)
        faults = frozenset(map(describe, keys.unusable))
        for fault in sorted(faults - self._reported):
            _log.error("a token that names this key is answered 503: %s", f"authorization server {self._name}, {fault}")
        self._reported = faults
        return keys
