"""Proposes a rule for all paths with the same methods and the same requirement."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Final, NamedTuple

from enforcer.analysis.learn.hosts import apps, patterns
from enforcer.analysis.learn.uses import MANY, MethodUse, Scopes, TemplateUse
from enforcer.analysis.rule_yaml import Proposal, unique_name
from enforcer.policy.rules import Rule
from enforcer.policy.templates import Capture, Path, escaped

_WIDTH: Final = 100
"""Columns of a comment."""
_FEW: Final = 5
"""Maximum number of clients, scopes or paths listed by name."""


@dataclass(frozen=True, slots=True)
class ProposedRule:
    """A proposed rule, and the numbers of logged requests that it allows, that it refuses, and whose path is ambiguous.

    Whether the latter pass depends on the key `encoded` of this rule and the rules around it.
    """

    proposal: Proposal
    allowed: int
    refused: int
    ambiguous: int


class _Requirement(NamedTuple):
    """The methods and conditions of a rule; `own` names the part of the path that must be the subject, if any."""

    methods: tuple[str, ...]
    scopes: tuple[str, ...]
    any_scope: tuple[str, ...]
    own: str


class _PathUse(NamedTuple):
    path: str
    use: MethodUse
    without: int
    methods: dict[str, MethodUse]


def proposed_rules(templates: Sequence[tuple[str, TemplateUse]]) -> Iterator[ProposedRule]:
    """Yield the rules for path templates with records, for each app the hosts of its rules if there are several."""
    by_host: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for path, use in templates:
        for host, method in use.places:
            by_host[host].append((path, method))
    names: set[str] = set()
    groups = apps(by_host)
    for hosts in groups:
        # An app that serves every host needs no condition on it.
        names_of_app = patterns(hosts) if len(groups) > 1 else [""]
        uses = [(path, use.by_method(hosts)) for path, use in templates]
        population = Counter[Scopes]()
        for _, methods in uses:
            for each in methods.values():
                population.update(each.tokens or {})
        for requirement, paths in _grouped(uses, population).items():
            for index, host in enumerate(names_of_app):
                yield _rule(requirement, paths, host, names, counted=index == 0)


def _grouped(
    templates: Sequence[tuple[str, dict[str, MethodUse]]], population: Counter[Scopes]
) -> dict[_Requirement, list[_PathUse]]:
    """Return the paths by what a rule for them requires; `population` counts requests by the scopes of their token."""
    grouped: defaultdict[_Requirement, list[_PathUse]] = defaultdict(list)
    for path, methods in templates:
        by_need: defaultdict[tuple[tuple[str, ...], tuple[str, ...], str], dict[str, MethodUse]] = defaultdict(dict)
        for method, use in methods.items():
            need = use.need(population)
            by_need[need.scopes, need.any_scope, _own_name(path, use)][method] = use
        for (scopes, any_scope, own_name), uses in sorted(by_need.items()):
            without = sum(use.need(population).without for use in uses.values())
            grouped[_Requirement(tuple(uses), scopes, any_scope, own_name)].append(
                _PathUse(path, _sum(uses.values()), without, uses)
            )
    return grouped


def _own_name(path: str, use: MethodUse) -> str:
    depth = use.own_depth()
    names = Path.parse(path).names.items()
    return next((name for name, capture in names if capture == Capture(-1 if depth is None else depth)), "")


def _rule(
    requirement: _Requirement, uses: Sequence[_PathUse], host: str, names: set[str], *, counted: bool
) -> ProposedRule:
    methods, scopes, any_scope, own = requirement
    paths = tuple(each.path for each in uses)
    of_rule = paths[0] if len(paths) == 1 else " or ".join(scopes or any_scope) or "any token"
    count = sum(each.use.count for each in uses)
    refused = sum(each.without for each in uses)
    rule = Rule(
        name=unique_name(f"{' '.join(methods)} {of_rule}", names),
        path=paths[0] if len(paths) == 1 else None,
        paths=paths if len(paths) > 1 else (),
        host=host or None,
        methods=methods,
        scopes=tuple(map(escaped, scopes)),
        any_scope=tuple(map(escaped, any_scope)),
        claims={"sub": f"{{{own}}}"} if own else {},
        authenticated=not (scopes or any_scope or own),
    )
    comments = tuple(line for text in _comments(requirement, uses, count, refused) for line in wrap(text, _WIDTH))
    if not counted:
        return ProposedRule(Proposal(rule, comments), 0, 0, 0)
    ambiguous = sum(each.use.delimiters.total() for each in uses)
    return ProposedRule(Proposal(rule, comments), max(count - refused - ambiguous, 0), refused, ambiguous)


def _joined(scopes: Sequence[str], any_scope: Sequence[str]) -> str:
    return " and ".join(scopes) or " or ".join(any_scope)


def _comments(requirement: _Requirement, uses: Sequence[_PathUse], count: int, refused: int) -> Iterator[str]:
    whole = _sum(each.use for each in uses)
    clients = f", {_named(whole.clients, 'client')}" if whole.clients else ""
    yield f"{number(count, 'request')}{_parts(uses)}{clients}"
    if refused:
        scopes = _joined(requirement.scopes, requirement.any_scope)
        yield f"{refused} of them had a token without {scopes}, and would be refused"
    if whole.delimiters:
        yield (
            f"{whole.delimiters.total()} of them had an encoded delimiter in a segment, and may be refused; if the app "
            f"keeps it in the segment, add {whole.encoded}"
        )
    if requirement.own:
        yield f"the subject of every token was {{{requirement.own}}}"
    seen = {scope for scopes in whole.tokens or () for scope in scopes}
    if requirement.any_scope:
        yield f"no scope was in every token; seen: {_named(seen, 'scope')}"
    elif not requirement.scopes:
        yield f"no scope was in every token; seen: {_named(seen, 'scope')}" if seen else _no_scopes(whole)


def _sum(uses: Iterable[MethodUse]) -> MethodUse:
    whole = MethodUse()
    for use in uses:
        whole.add(use)
    return whole


def _no_scopes(whole: MethodUse) -> str:
    return "the tokens had too many different scopes" if whole.tokens is None else "no token had scopes"


def _parts(uses: Sequence[_PathUse]) -> str:
    """Return how many requests each method, or each path, had."""
    counts = [(method, use.count) for method, use in uses[0].methods.items()]
    if len(uses) > 1:
        counts = sorted(((each.path, each.use.count) for each in uses), key=lambda item: (-item[1], item[0]))
    if len(counts) == 1:
        return ""
    more = f", and {len(counts) - _FEW} more" if len(counts) > _FEW else ""
    return f" ({', '.join(f'{name} {count}' for name, count in counts[:_FEW])}{more})"


def _named(names: set[str], noun: str) -> str:
    if len(names) > _FEW:
        return f"{MANY} {noun}s or more" if len(names) >= MANY else f"{len(names)} {noun}s"
    return f"{noun}{'' if len(names) == 1 else 's'} {', '.join(sorted(names))}"


def number(count: int, noun: str) -> str:
    """Return a count with its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
