"""What the parts of a configuration say of each other: names that stand twice or for nothing, rules that rival."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from enforcer.config.document import Document, Step, show
from enforcer.config.merged_document import MergedDocument
from enforcer.config.schema import shape
from enforcer.config.validate.messages import suggestion
from enforcer.errors import Problem
from enforcer.policy.matcher import Matcher, Place
from enforcer.policy.rules import Path, Rule, is_scope

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,98}[A-Za-z0-9_])?")
_PARAMETER = re.compile(r"\{[^/]*\}")


def conflicts(document: MergedDocument, rules: Mapping[int, Rule], *, complete: bool) -> Iterator[Problem]:
    """Tell of each; `rules` are those that could be read, by their number, `complete` whether no file of them is
    missing."""
    servers = _server_names(document.values)
    yield from duplicates(document, {("authorization_servers", at): name for at, name in servers.items()})
    yield from duplicates(document, {("rules", at): rule.name for at, rule in rules.items()})
    yield from _named(document, "authorization_server", list(servers.values()))
    yield from _names(document)
    yield from _sets(document)
    yield from _upstreams(document, rules)
    if complete and not document.origins and document.values.get("mode") != "report":
        yield _no_rules(document)
    yield from _rivals(document, rules)


def _no_rules(document: MergedDocument) -> Problem:
    if "rules" in document.values:
        return document.problem(("rules",), f"expected at least one, found {show(document.values['rules'])}")
    return document.problem((), f'missing key "rules": {shape().meaning(("rules",))}')


def _names(document: MergedDocument) -> Iterator[Problem]:
    for section in ("upstreams", "scope_sets"):
        for name in _keys(document, section):
            if not _NAME.fullmatch(name):
                message = "a name is made of letters, digits, dots, hyphens and _"
                yield document.problem((section,), f"{show(name)} is no name: {message}", key=name)


def _sets(document: MergedDocument) -> Iterator[Problem]:
    for name in _keys(document, "scope_sets"):
        scopes = document.values["scope_sets"][name]
        if scopes == []:
            yield document.problem(("scope_sets", name), "expected at least one, found an empty list")
        for at, scope in enumerate(scopes if isinstance(scopes, list) else ()):
            if isinstance(scope, str) and not is_scope(scope):
                yield document.problem(
                    ("scope_sets", name, at), f"{show(scope)} is no scope: no blanks, quotes or backslashes"
                )


def _keys(document: MergedDocument, section: str) -> list[str]:
    # As written, so that a mistake in what is named does not make every rule that names it another one.
    written = document.values.get(section)
    return list(written) if isinstance(written, dict) else []


def _named(document: MergedDocument, key: str, known: Sequence[str], otherwise: str = "") -> Iterator[Problem]:
    """Tell of each rule, and of the defaults, that name by a key what there is not; `otherwise` where nothing is."""
    if not known and not otherwise:
        return
    for path, value in document.written(key):
        several = isinstance(value, list)
        for at, name in enumerate(value if several else (value,)):
            if isinstance(name, str) and name not in known:
                hint = suggestion(name, known) if known else otherwise
                place = (*path, at) if several else path
                yield document.problem(place, f"no {key.replace('_', ' ')} is called {show(name)}; {hint}")


def _upstreams(document: MergedDocument, rules: Mapping[int, Rule]) -> Iterator[Problem]:
    named = _keys(document, "upstreams")
    unnamed = document.values.get("upstream") is not None
    if not unnamed and not named:
        yield document.problem((), f'missing key "upstream": {shape().meaning(("upstream",))}')
        return
    if not unnamed and document.values.get("mode") == "report":
        message = "requests without a rule are forwarded in this mode, and there is no `upstream` to forward them to"
        yield document.problem(("mode",), message)
    for at, rule in rules.items():
        if rule.upstream is None and not unnamed:
            message = "it names no upstream, and there is no `upstream` for rules that do not"
            yield document.problem(("rules", at), f"{message}; known: {', '.join(named)}")
    yield from _named(document, "upstream", named, "`upstreams` has none")


def _server_names(values: Mapping[str, Any]) -> dict[int, str]:
    # As written, for the same reason.
    servers = values.get("authorization_servers")
    named = {
        at: server.get("name", "default")
        for at, server in enumerate(servers if isinstance(servers, list) else ())
        if isinstance(server, dict)
    }
    return {at: name for at, name in named.items() if isinstance(name, str)}


def duplicates(document: MergedDocument | Document, names: Mapping[tuple[Step, ...], str]) -> Iterator[Problem]:
    """Tell of each name that stands a second time; `names` are by the path of what bears them."""
    first: dict[str, tuple[Step, ...]] = {}
    for path, name in names.items():
        if first.setdefault(name, path) is not path:
            place = _place(document, first[name])
            yield document.problem(path, f"the name {show(name)} is taken by the one at {place}")


def _rivals(document: MergedDocument, rules: Mapping[int, Rule]) -> Iterator[Problem]:
    # Reading paths and matching costs far more than this look, which leaves out the rules that cannot have a rival.
    alike: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for at, rule in rules.items():
        alike[_PARAMETER.sub("{}", unquote(rule.path)), (rule.host or "").lower()].append(at)
    for group in alike.values():
        if len(group) > 1:
            yield from _compared(document, {at: rules[at] for at in group})


def _compared(document: MergedDocument, rules: Mapping[int, Rule]) -> Iterator[Problem]:
    places = {
        at: Place(Path.parse(rule.path), tuple(dict.fromkeys(rule.methods)), rule.host) for at, rule in rules.items()
    }
    told: set[int] = set()
    for at, method in Matcher((place, at) for at, place in places.items()).conflicts:
        if at not in told:
            told.add(at)
            first = next(other for other in places if Matcher([(places[other], other), (places[at], at)]).conflicts)
            rival = f"rule {show(rules[first].name)} at {_place(document, ('rules', first))}"
            claimed = f"{'all methods' if method == '*' else method} of {rules[at].path}"
            yield document.problem(("rules", at), f"rule {show(rules[at].name)} claims {claimed}, and so does {rival}")


def _place(document: MergedDocument | Document, path: tuple[Step, ...]) -> str:
    return ":".join(map(str, document.where(path)))
