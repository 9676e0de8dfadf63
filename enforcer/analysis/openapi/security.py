"""Reads `security`: what an operation requires of the token.

1. Alternatives that consist of bearer tokens only count first. If there are none, the bearer tokens of the others
   count, with a comment on what no rule looks at.
2. A bearer token without scopes, as an alternative to one with scopes, does not make the scopes optional: a rule cannot
   see by which scheme a token was issued.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from enforcer.analysis.openapi.nodes import Cause, Node, OpenAPIError, show
from enforcer.policy.rules import is_scope

_OTHER_KINDS: Final = frozenset({"apiKey", "mutualTLS", "basic"})
"""Types of a security scheme that are not a bearer token, those of OpenAPI 2.0 included."""

Tokens = Mapping[str, frozenset[str]]
"""The bearer tokens of an alternative: the scopes that each scheme's token needs."""


@dataclass(frozen=True, slots=True)
class Needs:
    """The requirement of an operation: nothing (`public`), or a token with all of `scopes` and one of `any_scope`."""

    public: bool = False
    scopes: tuple[str, ...] = ()
    any_scope: tuple[str, ...] = ()

    def __and__(self, other: Needs) -> Needs:
        """Return the requirement of both; raises OpenAPIError if no rule can express it."""
        if self.public or self == other:
            return other
        if other.public:
            return self
        scopes = {*self.scopes, *other.scopes}
        choices = {frozenset(each) for each in (self.any_scope, other.any_scope) if each and scopes.isdisjoint(each)}
        if len(choices) > 1:
            raise OpenAPIError(Cause.NEEDS, "several operations with the path require different choices of scopes")
        return Needs(False, tuple(sorted(scopes)), tuple(sorted(*choices)) if choices else ())


@dataclass(frozen=True, slots=True)
class Security:
    """The requirements of an operation, and comments on everything else that the document says about access."""

    needs: Needs
    comments: tuple[str, ...] = ()


UNKNOWN: Final = Security(Needs(), ("the document does not say what it requires",))
"""The requirement of an operation without `security` in a document without it."""


@dataclass(frozen=True, slots=True)
class _Alternative:
    """One member of `security`: its bearer tokens, and the names of its other schemes."""

    tokens: Tokens
    others: tuple[str, ...]

    def __str__(self) -> str:
        return " with ".join((*self.tokens, *self.others)) or "no token at all"


def read_security(security: Any, schemes: Node) -> Security:
    """Read the value of `security`; raises OpenAPIError if it is not a list of mappings of lists of scopes."""
    if not isinstance(security, list):
        raise OpenAPIError(Cause.SECURITY, f"security is {show(security)}, not a list")
    alternatives = [_alternative(each, schemes) for each in security]
    if not any(each.tokens or each.others for each in alternatives):
        return Security(Needs(public=True))
    whole = [each for each in alternatives if each.tokens and not each.others]
    chosen = whole or [each for each in alternatives if each.tokens]
    rest = [each for each in alternatives if each not in chosen]
    comments = []
    if rest:
        names = ", or ".join(dict.fromkeys(map(str, sorted(rest, key=lambda each: bool(each.tokens or each.others)))))
        comments.append(f"the document {'also ' if chosen else ''}accepts {names}")
    unseen = dict.fromkeys(name for each in chosen for name in each.others)
    if unseen:
        comments.append(f"the document also requires {' or '.join(unseen)}, which no rule looks at")
    needs, comment = _needs([each.tokens for each in chosen])
    return Security(needs, (*comments, *comment))


def _alternative(value: Any, schemes: Node) -> _Alternative:
    if not isinstance(value, Mapping):
        raise OpenAPIError(Cause.SECURITY, f"a member of security is {show(value)}, not a mapping")
    tokens, others = {}, []
    for name, scopes in value.items():
        if not isinstance(name, str) or not isinstance(scopes, list):
            raise OpenAPIError(Cause.SECURITY, f"{name} in security has {show(scopes)}, not a list of scopes")
        if not _is_bearer(name, schemes):
            others.append(name)
            continue
        for scope in scopes:
            if not isinstance(scope, str):
                raise OpenAPIError(Cause.SECURITY, f"a scope of {name} is {show(scope)}")
            if not is_scope(scope):
                raise OpenAPIError(Cause.SECURITY, f"{scope!r} is not a valid scope")
            if scope.startswith("$"):
                raise OpenAPIError(Cause.NEEDS, f"in a rule, {scope} is the name of a scope set")
        tokens[name] = frozenset(scopes)
    return _Alternative(tokens, tuple(others))


def _is_bearer(name: str, schemes: Node) -> bool:
    scheme = schemes.child(name) if schemes.value is not None else schemes
    if scheme.value is None:
        raise OpenAPIError(Cause.SECURITY, f"security names {name}, which the document does not define")
    members = scheme.mapping()
    kind = members.get("type")
    if kind == "http":
        scheme_name = members.get("scheme")
        if not isinstance(scheme_name, str) or not scheme_name:
            raise OpenAPIError(Cause.SECURITY, f"{name} is of type http, and has no scheme")
        return scheme_name.lower() == "bearer"
    if kind not in ("oauth2", "openIdConnect") and kind not in _OTHER_KINDS:
        raise OpenAPIError(Cause.SECURITY, f"{name} has an unknown type")
    return kind not in _OTHER_KINDS


def _needs(alternatives: Sequence[Tokens]) -> tuple[Needs, tuple[str, ...]]:
    least = [tokens for tokens in alternatives if not any(_includes(tokens, other) for other in alternatives)]
    comments = []
    beyond = {*_scopes(alternatives)} - {*_scopes(least)}
    if beyond and not _scopes(least):
        comments.append(f"the document also accepts a token without {' or '.join(sorted(beyond))}")
    without = [" with ".join(tokens) for tokens in least if not any(tokens.values())]
    if without and _scopes(least):
        names = ", or ".join(dict.fromkeys(without))
        comments.append(f"the document also accepts {names}, for which it names no scopes")
        least = [tokens for tokens in least if any(tokens.values())]
    return _as_rule([frozenset[str]().union(*tokens.values()) for tokens in least]), tuple(comments)


def _scopes(alternatives: Sequence[Tokens]) -> set[str]:
    return {scope for tokens in alternatives for scopes in tokens.values() for scope in scopes}


def _includes(tokens: Tokens, other: Tokens) -> bool:
    """Return whether one alternative requires everything that the other does, and more."""
    return tokens != other and all(name in tokens and scopes <= tokens[name] for name, scopes in other.items())


def _as_rule(alternatives: Sequence[frozenset[str]]) -> Needs:
    """Return alternatives of scopes as one requirement; raises OpenAPIError if that is impossible."""
    minimal = {scopes for scopes in alternatives if not any(other < scopes for other in alternatives)}
    common = frozenset.intersection(*minimal) if minimal else frozenset()
    rest = [sorted(scopes - common) for scopes in minimal]
    if len(minimal) > 1 and any(len(scopes) > 1 for scopes in rest):
        choices = sorted(" ".join(sorted(scopes)) for scopes in minimal)
        raise OpenAPIError(Cause.NEEDS, f"no rule can require {' or '.join(f'({choice})' for choice in choices)}")
    return Needs(scopes=tuple(sorted(common)), any_scope=tuple(sorted(scope for scopes in rest for scope in scopes)))
