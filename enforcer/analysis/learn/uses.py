"""Records of the requests under one path template: how many, with which tokens, and what these have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from enforcer.wire.readings import DELIMITERS

MANY: Final = 100
"""Maximum number of clients, token holders, or sets of scopes counted for a template."""
TOLERATED: Final = 20
"""A scope is a condition if all tokens had it, or all but one in so many."""
_MAX_CHOICES: Final = 3
"""Maximum number of scopes in `any_scope`; if more are needed to cover all tokens, no scope is a condition."""
_UNLIKELY: Final = 0.01
_OWN: Final = 8
"""Minimum number of requests, all for the subject's own segment, that lead to a condition on the subject."""
# OpenID Connect Core §5.4 and §11: these say what a client learns about the user, not what it may do at an API.
_OF_IDENTITY: Final = frozenset(("openid", "profile", "email", "address", "phone", "offline_access"))

Scopes = frozenset[str]


@dataclass(frozen=True, slots=True)
class ScopeNeed:
    """The scopes of the tokens: all of `scopes`, one of `any_scope`; `without` counts the requests without them."""

    scopes: tuple[str, ...] = ()
    any_scope: tuple[str, ...] = ()
    without: int = 0


@dataclass(slots=True)
class MethodUse:
    """The requests with one method.

    `common` are the scopes that all tokens had; None if there was no token. `tokens` counts the requests by the scopes
    of their token; None if these varied too much. `own` counts, by depth, the requests whose path segment there is the
    subject of the token. `delimiters` counts the requests with delimiters in segments, by their names in `encoded`.
    """

    count: int = 0
    common: Scopes | None = None
    tokens: Counter[Scopes] | None = field(default_factory=Counter)
    clients: set[str] = field(default_factory=set)
    holders: set[tuple[str | None, str | None]] = field(default_factory=set)
    own: Counter[int] = field(default_factory=Counter)
    delimiters: Counter[tuple[str, ...]] = field(default_factory=Counter)

    def add(self, other: MethodUse) -> None:
        """Add the requests of another record."""
        self.count += other.count
        if other.common is not None:
            self.common = other.common if self.common is None else self.common & other.common
        if self.tokens is not None and other.tokens is not None:
            self.tokens += other.tokens
        if other.tokens is None or (self.tokens is not None and len(self.tokens) > MANY):
            self.tokens = None
        if len(self.clients) < MANY:
            self.clients |= other.clients
        if len(self.holders) < MANY:
            self.holders |= other.holders
        self.own += other.own
        self.delimiters += other.delimiters

    @property
    def encoded(self) -> str:
        """The key of a rule that lets its requests with delimiters in segments pass; empty if there are none."""
        names = {name for each in self.delimiters for name in each}
        return f"encoded: [{', '.join(name for name in DELIMITERS if name in names)}]" if names else ""

    @property
    def conditions(self) -> Scopes:
        """The scopes that all tokens had, except those that say nothing about an API."""
        return _of_api(self.common or frozenset())

    def stands_out(self, whole: MethodUse) -> bool:
        """Return whether its tokens had a scope in common that is improbable for tokens of the whole."""
        for scope in self.conditions - whole.conditions:
            if whole.tokens is None or self.tokens is None:
                return True
            others = whole.count - self.count
            having = sum(count for scopes, count in (whole.tokens - self.tokens).items() if scope in scopes)
            if others and (having / others) ** len(self.holders) < _UNLIKELY:
                return True
        return False

    def need(self, population: Counter[Scopes]) -> ScopeNeed:
        """Return the scopes that a rule for the requests requires.

        `population` counts all requests of the app by the scopes of their token: a scope that every token has with
        another one adds nothing.
        """
        if self.conditions or not self.tokens:
            return ScopeNeed(_narrowest(self.conditions, population))
        chosen: list[str] = []
        rest = self.tokens
        while rest.total() > self.count // TOLERATED:
            most = _most_frequent(rest)
            if most is None or len(chosen) == _MAX_CHOICES:
                return ScopeNeed()
            chosen.append(most)
            rest = Counter({scopes: count for scopes, count in rest.items() if most not in scopes})
        if len(chosen) > 1:
            others = sum(count for scopes, count in population.items() if scopes.isdisjoint(chosen))
            if others * TOLERATED <= population.total():
                return ScopeNeed()
            return ScopeNeed((), tuple(sorted(chosen)), rest.total())
        together = frozenset.intersection(*(scopes for scopes in self.tokens if chosen[0] in scopes))
        return ScopeNeed(_narrowest(_of_api(together), population), (), rest.total())

    def own_depth(self) -> int | None:
        """Return the depth of the path segment that was always the subject of the token; None if there is none."""
        always = [depth for depth, count in self.own.items() if count == self.count >= _OWN]
        return min(always) if always and len(self.holders) > 1 else None


def _of_api(scopes: Scopes) -> Scopes:
    """Return the scopes that can be conditions: in a rule, `$name` is the name of a scope set."""
    return frozenset(scope for scope in scopes - _OF_IDENTITY if not scope.startswith("$"))


def _narrowest(scopes: Scopes, population: Collection[Scopes]) -> tuple[str, ...]:
    """Return the scopes without those that every token with another of the scopes has, and other tokens too."""
    having = {scope: frozenset(token for token in population if scope in token) for scope in scopes}
    return tuple(sorted(scope for scope in scopes if not any(having[other] < having[scope] for other in scopes)))


def _most_frequent(tokens: Counter[Scopes]) -> str | None:
    """Return the scope that most tokens have; None if none has a scope that can be a condition."""
    counts = Counter[str]()
    for scopes, count in tokens.items():
        for scope in _of_api(scopes):
            counts[scope] += count
    return min(((-count, scope) for scope, count in counts.items()), default=(0, None))[1]


Place = tuple[str, str]
"""A host and a method."""


@dataclass(slots=True)
class TemplateUse:
    """The requests that match one template, by host and method."""

    places: dict[Place, MethodUse] = field(default_factory=dict)

    def record(self, place: Place, use: MethodUse) -> None:
        """Add requests at a place."""
        present = self.places.get(place)
        if present is None:
            # A copy, because a record that two templates share would count requests of both.
            present = self.places[place] = MethodUse()
        present.add(use)

    def add(self, other: TemplateUse) -> None:
        for place, use in other.places.items():
            self.record(place, use)

    def forget_hosts(self) -> None:
        """Record all requests as those of one host, without name."""
        places, self.places = self.places, {}
        for (_, method), use in places.items():
            self.record(("", method), use)

    def by_method(self, hosts: Iterable[str] | None = None) -> dict[str, MethodUse]:
        """Return the requests for some hosts, or all, by method."""
        of_hosts = TemplateUse()
        chosen = None if hosts is None else frozenset(hosts)
        for (host, method), use in self.places.items():
            if chosen is None or host in chosen:
                of_hosts.record(("", method), use)
        return {method: use for (_, method), use in sorted(of_hosts.places.items())}

    @property
    def count(self) -> int:
        return sum(use.count for use in self.places.values())

    @property
    def kinds(self) -> dict[str, int]:
        return {method: use.count for method, use in self.by_method().items()}

    @property
    def traits(self) -> dict[tuple[str, str], int]:
        traits = Counter[tuple[str, str]]()
        for method, use in self.by_method().items():
            # Of tokens that vary too much, only what they have in common is known.
            tokens = {use.conditions: use.count} if use.tokens is None else use.tokens
            for scopes, count in tokens.items():
                for scope in _of_api(scopes):
                    traits[method, scope] += count
        return traits

    def is_own(self, depth: int) -> bool:
        own = sum(use.own[depth] for use in self.places.values())
        return 2 * own > self.count

    def stands_out(self, whole: TemplateUse) -> bool:
        of_whole = whole.by_method()
        return any(use.stands_out(of_whole[method]) for method, use in self.by_method().items())
