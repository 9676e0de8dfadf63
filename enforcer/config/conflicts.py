"""What the parts of a configuration say of each other: names that stand twice or for nothing, rules that rival."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from enforcer.config.document import Document, Step, show
from enforcer.config.messages import suggestion
from enforcer.config.schema import shape
from enforcer.errors import Problem
from enforcer.policy.matcher import Matcher, Place
from enforcer.policy.rules import Path, Rule

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,98}[A-Za-z0-9_])?")
_PARAMETER = re.compile(r"\{[^/]*\}")


def conflicts(document: Document, rules: Mapping[int, Rule]) -> Iterator[Problem]:
    """Tell of each; `rules` are those that could be read, by their number."""
    servers = _server_names(document.values)
    yield from twice(document, {("authorization_servers", at): name for at, name in servers.items()})
    yield from twice(document, {("rules", at): rule.name for at, rule in rules.items()})
    known = list(servers.values())
    for at, rule in rules.items():
        for number, name in enumerate(rule.authorization_servers):
            if known and name not in known:
                way = () if isinstance(rule.authorization_server, str) else (number,)
                path = ("rules", at, "authorization_server", *way)
                message = f"no authorization server is called {show(name)}; {suggestion(name, known)}"
                yield document.problem(path, message)
    yield from _upstreams(document, rules)
    yield from _rivals(document, rules)


def _upstreams(document: Document, rules: Mapping[int, Rule]) -> Iterator[Problem]:
    # As written, for the same reason.
    written = document.values.get("upstreams")
    named = list(written) if isinstance(written, dict) else []
    for name in named:
        if not _NAME.fullmatch(name):
            message = "a name is made of letters, digits, dots, hyphens and _"
            yield document.problem(("upstreams",), f"{show(name)} is no name: {message}", key=name)
    unnamed = document.values.get("upstream") is not None
    if not unnamed and not named:
        yield document.problem((), f'missing key "upstream": {shape().meaning(("upstream",))}')
        return
    if not unnamed and document.values.get("mode") == "report":
        message = "requests without a rule are forwarded in this mode, and there is no `upstream` to forward them to"
        yield document.problem(("mode",), message)
    for at, rule in rules.items():
        if rule.upstream is None and not unnamed:
            message = (
                f"it names no upstream, and there is no `upstream` for rules that do not; known: {', '.join(named)}"
            )
            yield document.problem(("rules", at), message)
        elif rule.upstream is not None and rule.upstream not in named:
            hint = suggestion(rule.upstream, named) if named else "`upstreams` has none"
            yield document.problem(("rules", at, "upstream"), f"no upstream is called {show(rule.upstream)}; {hint}")


def _server_names(values: Mapping[str, Any]) -> dict[int, str]:
    # As written, so that a mistake in a server does not make every rule that names it another one.
    servers = values.get("authorization_servers")
    named = {
        at: server.get("name", "default")
        for at, server in enumerate(servers if isinstance(servers, list) else ())
        if isinstance(server, dict)
    }
    return {at: name for at, name in named.items() if isinstance(name, str)}


def twice(document: Document, names: Mapping[tuple[Step, ...], str]) -> Iterator[Problem]:
    """Tell of each name that stands a second time; `names` are by the path of what bears them."""
    first: dict[str, tuple[Step, ...]] = {}
    for path, name in names.items():
        if first.setdefault(name, path) is not path:
            place = _place(document, first[name])
            yield document.problem(path, f"the name {show(name)} is taken by the one at {place}")


def _rivals(document: Document, rules: Mapping[int, Rule]) -> Iterator[Problem]:
    # Reading paths and matching costs far more than this look, which leaves out the rules that cannot have a rival.
    alike: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for at, rule in rules.items():
        alike[_PARAMETER.sub("{}", unquote(rule.path)), (rule.host or "").lower()].append(at)
    for group in alike.values():
        if len(group) > 1:
            yield from _compared(document, {at: rules[at] for at in group})


def _compared(document: Document, rules: Mapping[int, Rule]) -> Iterator[Problem]:
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


def _place(document: Document, path: tuple[Step, ...]) -> str:
    line, column = document.place(path)
    return f"{document.file}:{line}:{column}"
