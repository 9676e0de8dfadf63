"""Requirements: the conditions of rules, compiled for the request path.

`Requirement.encoded` is the set of delimiters that the rule's app keeps, as bits of `wire.readings`, and `read_fields`
are the fields that its conditions read, as `wire.fields.fold` writes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from enforcer.policy.conditions import Claim, compile_request_conditions, is_within, parse_networks
from enforcer.policy.hierarchy import NO_HIERARCHY, ScopeHierarchy
from enforcer.policy.matcher import RequestPattern
from enforcer.policy.request_view import RequestView
from enforcer.policy.rules import Conditions, Rule
from enforcer.policy.templates import Capture, Names, Path, Text, names_of, parse_text
from enforcer.tokens.claims import ActiveToken, read_date
from enforcer.wire.fields import FOLD
from enforcer.wire.readings import DELIMITERS


class Conjunction:
    """Conditions that must all be met: those of a rule, or of an alternative in `any_of`.

    `narrow`: the rule has more conditions than scopes without placeholder and hierarchy. `reads_request`: some depend
    on the request. `limited`: some depend on nothing but the request.
    """

    __slots__ = (
        "acr", "addresses", "alternatives", "any_scope", "any_scope_texts", "audience", "claims", "client_ids",
        "issuer", "limited", "max_auth_age", "narrow", "needs_only_scopes", "reads_request", "request_conditions",
        "scope_hierarchy", "scope_texts", "scopes",
    )  # fmt: skip

    def __init__(self, written: Conditions, names: Names, hierarchy: ScopeHierarchy) -> None:
        all_of = [parse_text(scope, names) for scope in written.scopes]
        any_of = [parse_text(scope, names) for scope in written.any_scope]
        self.scopes: Final = frozenset([text.fixed for text in all_of if text.fixed is not None])
        self.scope_texts: Final = tuple([text for text in all_of if text.fixed is None])
        some = [text.fixed for text in any_of if text.fixed is not None]
        self.any_scope: Final = frozenset(some).union(*(hierarchy.including(scope) for scope in some))
        self.any_scope_texts: Final = tuple([text for text in any_of if text.fixed is None])
        self.scope_hierarchy: Final = hierarchy
        self.audience: Final = frozenset(written.audience)
        self.issuer: Final = frozenset(written.issuer)
        self.client_ids: Final = frozenset(written.client_ids)
        self.claims: Final = tuple([Claim(name, value, names) for name, value in written.claims.items()])
        self.acr: Final = frozenset(written.acr)
        self.max_auth_age: Final = written.max_auth_age
        self.request_conditions: Final = compile_request_conditions(
            "?", written.query, names
        ) + compile_request_conditions("#", written.headers, names)
        self.addresses: Final = parse_networks(written.addresses)
        self.alternatives: Final[tuple[Conjunction, ...]] = tuple(
            [Conjunction(alternative, names, hierarchy) for alternative in written.alternatives]
        )
        self.needs_only_scopes: Final = written.needs_only_scopes
        included = any(hierarchy.including(scope) for scope in self.scopes)
        self.limited: Final = bool(self.request_conditions or self.addresses)
        self.narrow: Final = bool(
            included or self.scope_texts or self.any_scope or self.any_scope_texts or self.audience or self.issuer
            or self.client_ids or self.claims or self.acr or self.max_auth_age is not None or self.limited
            or self.alternatives
        )  # fmt: skip
        self.reads_request: Final[bool] = bool(
            self.limited or self.scope_texts or self.any_scope_texts or self.claims
            or any(alternative.reads_request for alternative in self.alternatives)
        )  # fmt: skip

    @property
    def reads_address(self) -> bool:
        """Whether a condition depends on the client's address."""
        return bool(self.addresses) or any(alternative.addresses for alternative in self.alternatives)

    def observed(self, request: RequestView) -> tuple[bytes, tuple[bytes, ...]]:
        """Return the parts of the query and the field lines that the conditions read: what a record of it needs."""
        variables = self._variables()
        query = request.pairs({name for source, name in variables if source == "?"})
        return query, request.fields({name for source, name in variables if source == "#"})

    def _variables(self) -> set[tuple[str, bytes]]:
        """Return the query parameters and fields that the conditions read, each as its source and name."""
        conditions = [self, *self.alternatives]
        variables = {read.variable for written in conditions for read in written.request_conditions}
        for text in self._texts():
            variables |= text.variables
        return variables

    def _texts(self) -> list[Text]:
        """Return the texts of the conditions that may have placeholders."""
        texts = [*self.scope_texts, *self.any_scope_texts]
        texts += [text for condition in self.request_conditions for text in condition.texts]
        texts += [text for claim in self.claims for text in claim.all_texts]
        for alternative in self.alternatives:
            texts += alternative._texts()
        return texts

    def meets_scopes(self, token: ActiveToken, request: RequestView) -> bool:
        """Return whether the token has all of `scopes`, and one of `any_scope`, or scopes that include them."""
        scopes = token.scopes
        if not self.scopes <= scopes and not all(self._has(scope, scopes) for scope in self.scopes):
            return False
        if not all(self._has(_scope(text, request), scopes) for text in self.scope_texts):
            return False
        if not (self.any_scope or self.any_scope_texts) or not self.any_scope.isdisjoint(scopes):
            return True
        return any(self._has(_scope(text, request), scopes) for text in self.any_scope_texts)

    def _has(self, scope: str, scopes: frozenset[str]) -> bool:
        return scope in scopes or not self.scope_hierarchy.including(scope).isdisjoint(scopes)

    def meets_claims(self, token: ActiveToken, request: RequestView) -> bool:
        """Return whether the token meets all conditions on claims."""
        return all(claim.holds(token.claims, request) for claim in self.claims)

    def meets_authentication(self, token: ActiveToken, now: float) -> bool:
        """Return whether the user was authenticated as strongly and as recently as required (RFC 9470)."""
        acr = token.claims.get("acr")
        if self.acr and not (isinstance(acr, str) and acr in self.acr):
            return False
        if self.max_auth_age is None:
            return True
        try:
            time = read_date(token.claims, "auth_time", float("-inf"))
        except ValueError:
            return False
        return now - time <= self.max_auth_age

    def meets_address(self, request: RequestView) -> bool:
        """Return whether the client's address is one of those that are required."""
        return not self.addresses or is_within(request.address, self.addresses)

    def meets_limits(self, request: RequestView) -> bool:
        """Return whether the request meets the conditions on its query, fields and client address."""
        return self.meets_address(request) and all(condition.holds(request) for condition in self.request_conditions)


def _scope(text: Text, request: RequestView) -> str:
    filled = text.fill(request)
    return "" if filled is None else filled.decode("utf-8", "replace")  # no token has the scope ""


class Requirement(Conjunction):
    """The conditions of one rule under one of its paths."""

    __slots__ = ("_captures", "encoded", "nobody", "preflight", "public", "read_fields", "reads_query", "rule")

    def __init__(self, rule: Rule, path: Path, hierarchy: ScopeHierarchy = NO_HIERARCHY) -> None:
        super().__init__(rule, names_of(path, rule.host), hierarchy)
        read = set[Capture]().union(*[text.captures for text in self._texts()])
        self._captures: Final = [capture for _, capture in sorted(path.names.items()) if capture in read]
        self.reads_query: Final = any(source == "?" for source, _ in self._variables())
        self.read_fields: Final = frozenset(
            [name.translate(FOLD) for source, name in self._variables() if source == "#"]
        )
        self.encoded: Final = sum([DELIMITERS[name] for name in sorted(set(rule.encoded))])
        self.rule: Final = rule
        self.public: Final = rule.public
        self.nobody: Final = rule.nobody
        self.preflight: Final = rule.cors_preflight in ("allow", "answer") and not rule.nobody

    def captured(self, segments: Sequence[bytes]) -> list[bytes]:
        """Return the values of the path's names that the conditions read, in the order of the names."""
        return [capture.of(segments) for capture in self._captures]


def compile_rule(rule: Rule, hierarchy: ScopeHierarchy = NO_HIERARCHY) -> list[tuple[RequestPattern, Requirement]]:
    """Return what a rule matches and what it requires there, for each of its paths."""
    paths = [Path.parse(template) for template in rule.templates]
    return [(RequestPattern(path, rule.methods, rule.host), Requirement(rule, path, hierarchy)) for path in paths]
