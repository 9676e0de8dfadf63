"""The part of an active token's verification result that is cached: the claims that rules and identity fields read.

A response may have 64 KiB, and a token stays in the cache for minutes. Of most, a few values remain, which they share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from enforcer.tokens.claims import UNREADABLE, ActiveToken, claim_value, name_and_path
from enforcer.tokens.shared_values import SharedValues, size_of

_SHARED: Final = SharedValues(1024 * 1024)
_NO_CLAIMS: Final[Mapping[str, Any]] = MappingProxyType({})
_ALWAYS: Final = ("cnf",)
"""Claims that are read whatever the rules say: a bound token's key."""


class Retention:
    """The claims that are kept: those of `names`, of which a dotted one may name a claim within another one.

    `whole` are the names of claims of which conditions read parts: a dot in them separates nothing.
    `identity` are the claims of the identity fields, by name of the field. The fields are written before the result is
    cached, so that their claims are not kept.
    """

    __slots__ = ("_paths", "identity")

    def __init__(self, names: Iterable[str], identity: Mapping[str, str], whole: Iterable[str] = ()) -> None:
        self.identity: Final = identity
        literal = {*whole, *_ALWAYS}
        nested = {name: tuple(name.split(".")) for name in names}
        # Under a name that is read literally too, a nested value would pass for a claim of that name.
        literal |= {nested[name][0] for name in literal & nested.keys()}
        paths = {name: path for name, path in nested.items() if name not in literal}
        self._paths: Final = tuple(sorted(_literally(literal).union(paths.items())))

    def is_served_by(self, former: Retention) -> bool:
        """Return whether tokens that another one reduced have all claims that are read now."""
        # A nested claim may have been kept only in part, or under its dotted name, where it would not be found.
        claims = [name_and_path(name) for name in self.identity.values()]
        identity = self.identity == former.identity or (
            all(len(path) == 1 for _, path in claims)
            and frozenset(claims) <= _literally(_RESTORED).union(former._paths)
        )
        return identity and self.decides_on(former)

    def decides_on(self, former: Retention) -> bool:
        """Return whether tokens that another one reduced have all claims that conditions read now."""
        return frozenset(former._paths).issuperset(self._paths)

    def reduce(self, token: ActiveToken) -> ActiveToken:
        """Return a token without the claims that nobody reads; one that is reduced already as it is."""
        read_claims = {}
        for name, path in self._paths:
            value = claim_value(token.claims, name, path)
            if value is UNREADABLE:
                read_claims[path[0]] = token.claims[path[0]]
            elif value is not None:
                read_claims[name] = value
        claims, size = _share_claims(read_claims) if read_claims else (_NO_CLAIMS, 0)
        scopes, of_scopes = _SHARED.share(token.scopes, token.scopes, size_of(token.scopes))
        audience, of_audience = _SHARED.share(token.audience, token.audience, size_of(token.audience))
        issuer, of_issuer = _share_text(token.issuer)
        client_id, of_client = _share_text(token.client_id)
        size += of_scopes + of_audience + of_issuer + of_client
        if token.subject is not None:
            size += size_of(token.subject)
        if token.size == size and read_claims.keys() == token.claims.keys() and scopes is token.scopes:
            return token
        return ActiveToken(
            scopes=scopes,
            expires=token.expires,
            subject=token.subject,
            client_id=client_id,
            issuer=issuer,
            audience=audience,
            claims=claims,
            bound=token.bound,
            size=size,
        )


def restored(token: ActiveToken) -> ActiveToken:
    """Return a reduced token with the standard claims that follow from its other members: `_RESTORED`."""
    scope = " ".join(sorted(token.scopes)) or None
    members = {"sub": token.subject, "client_id": token.client_id, "iss": token.issuer, "scope": scope}
    standard = {name: value for name, value in members.items() if value is not None}
    return token.with_claims({**standard, **token.claims})


_RESTORED: Final = frozenset({"sub", "client_id", "iss", "scope"})


def _literally(names: Iterable[str]) -> frozenset[tuple[str, tuple[str, ...]]]:
    return frozenset([(name, (name,)) for name in names])


def _share_text(text: str | None) -> tuple[str | None, int]:
    return (None, 0) if text is None else _SHARED.share(text, text, size_of(text))


def _share_claims(claims: dict[str, Any]) -> tuple[Mapping[str, Any], int]:
    # Only text: equal keys of other types, such as 1 and true, would be values that a rule tells apart.
    if not all(isinstance(value, str) for value in claims.values()):
        return claims, size_of(claims)
    return _SHARED.share(tuple(claims.items()), claims, 2 * size_of(claims))
