"""Finds conflicts between parts of a configuration: duplicate and unknown names, rules that match the same requests."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from enforcer.config.documents.document import Document, Step, show
from enforcer.config.merged_document import MergedDocument
from enforcer.config.schema import CHOICES, shape
from enforcer.config.validate.messages import suggestion
from enforcer.errors import Problem
from enforcer.policy.matcher import Matcher, RequestPattern
from enforcer.policy.rules import Rule, fields_read, is_scope
from enforcer.policy.templates import HOST_NAME, Path
from enforcer.settings.forwarding import ForwardingSettings
from enforcer.wire.fields import fold

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,98}[A-Za-z0-9_])?")
_PARAMETER = re.compile(r"\{[^/]*\}")


def conflicts(document: MergedDocument, rules: Mapping[int, Rule], *, complete: bool) -> Iterator[Problem]:
    """Yield each conflict. `rules` are the valid ones by index; `complete` says that every rule file could be read."""
    servers = _server_names(document.values)
    yield from duplicates(document, {("authorization_servers", index): name for index, name in servers.items()})
    yield from duplicates(document, {("rules", index): rule.name for index, rule in rules.items()})
    yield from _unknown_names(document, "authorization_server", list(servers.values()))
    yield from _invalid_names(document)
    yield from _scope_sets(document)
    yield from _scope_implies(document)
    yield from _upstreams(document, rules)
    yield from _fractions(document)
    yield from _empty_lists(document)
    yield from _grpc(document)
    if complete and not document.rule_sources and document.values.get("mode") != "report":
        yield _no_rules(document)
    yield from _report_modes(document)
    yield from _preflights(document)
    yield from _identity_fields(document, rules)
    yield from _equal_rules(document, rules)


def _grpc(document: MergedDocument) -> Iterator[Problem]:
    """Yield each listener that speaks gRPC, if HTTP/2 is off."""
    listener, doors = document.values.get("listener"), document.values.get("decision")
    if isinstance(listener, dict) and listener.get("http2") is False and isinstance(doors, list):
        for index, door in enumerate(doors):
            if isinstance(door, dict) and door.get("contract") == "envoy-grpc":
                message = "gRPC needs HTTP/2, which `listener.http2: false` turns off for all listeners"
                yield document.problem(("decision", index, "contract"), message)


def _no_rules(document: MergedDocument) -> Problem:
    if "rules" in document.values:
        return document.problem(("rules",), f"expected at least one, found {show(document.values['rules'])}")
    return document.problem((), f'missing key "rules": {shape().meaning(("rules",))}')


def _report_modes(document: MergedDocument) -> Iterator[Problem]:
    """Yield each use of report mode, if it is not allowed."""
    if document.values.get("allow_report_mode") is not False:
        return
    _, line, _ = document.where(("allow_report_mode",))
    place = "on the command line, which a cluster's injector sets for sidecars" if line == 0 else f"in line {line}"
    message = f"report mode is forbidden by `allow_report_mode: false`, {place}"
    modes = [(("mode",), document.values.get("mode")), *document.written("mode")]
    yield from (document.problem(path, message) for path, mode in modes if mode == "report")


def _preflights(document: MergedDocument) -> Iterator[Problem]:
    """Yield each setting that has preflights answered, if no page may read the answer."""
    cors = document.values.get("cors")
    if isinstance(cors, dict) and cors.get("origins"):
        return
    settings = [(("cors_preflight",), document.values.get("cors_preflight")), *document.written("cors_preflight")]
    yield from (document.problem(path, "answer needs cors.origins") for path, value in settings if value == "answer")


def _invalid_names(document: MergedDocument) -> Iterator[Problem]:
    for section in ("upstreams", "scope_sets"):
        for name in _keys(document, section):
            if not _NAME.fullmatch(name):
                message = "use letters, digits, dots, hyphens and _"
                yield document.problem((section,), f"{show(name)} is not a valid name: {message}", key=name)


def _scope_sets(document: MergedDocument) -> Iterator[Problem]:
    for name in _keys(document, "scope_sets"):
        scopes = document.values["scope_sets"][name]
        if scopes == []:
            yield document.problem(("scope_sets", name), "expected at least one, found an empty list")
        for index, scope in enumerate(scopes if isinstance(scopes, list) else ()):
            if isinstance(scope, str) and not is_scope(scope):
                message = f"{show(scope)} is not a valid scope: no spaces, quotes or backslashes"
                yield document.problem(("scope_sets", name, index), message)


def _fractions(document: MergedDocument) -> Iterator[Problem]:
    """Yield each claim of a number like 1.0, which is read as 1 and then equals neither the claim "1.0" nor "1"."""
    for path, claims in document.written("claims"):
        for name, value in claims.items() if isinstance(claims, dict) else ():
            for index, item in enumerate(value if isinstance(value, list) else (value,)):
                if isinstance(item, float) and item.is_integer():
                    place = (*path, name, index) if isinstance(value, list) else (*path, name)
                    yield document.problem(place, f'{item} is a number with a fraction; write it in quotes: "{item}"')


def _empty_lists(document: MergedDocument) -> Iterator[Problem]:
    """Yield each list of choices without any, except one that takes a default away."""
    for key in CHOICES:
        for path, value in document.written(key):
            # Nobody who writes that no address is allowed means every address.
            if value == [] and (key == "addresses" or key not in document.defaults_over(path)):
                yield document.problem(path, "expected at least one, found an empty list")
    for path, alternatives in document.written("any_of"):
        for index, alternative in enumerate(alternatives if isinstance(alternatives, list) else ()):
            for key, value in alternative.items() if isinstance(alternative, dict) else ():
                if value == [] and key in CHOICES:
                    yield document.problem((*path, index, key), "expected at least one, found an empty list")


def _identity_fields(document: MergedDocument, rules: Mapping[int, Rule]) -> Iterator[Problem]:
    """Yield each condition on a field that the enforcer sets, and each token in one: a client's own is removed."""
    forwarding = document.values.get("forwarding")
    identity = forwarding.get("identity") if isinstance(forwarding, dict) else None
    names = identity if isinstance(identity, dict) else ForwardingSettings().identity
    folded = {fold(name) for name in names if isinstance(name, str) and name.isascii()}
    for path, places in document.written("token_from"):
        header = places.get("header") if isinstance(places, dict) else None
        if isinstance(header, str) and header.isascii() and fold(header) in folded:
            message = (
                f"no token can be read from {header}: `forwarding.identity` sets it, and a client's own is removed"
            )
            yield document.problem((*path, "header"), message)
    for index, rule in rules.items():
        for path, name in fields_read(rule):
            if fold(name) in folded:
                message = f"no condition can read {name}: `forwarding.identity` sets it, and a client's own is removed"
                yield document.problem(("rules", index, *path), message)


def _scope_implies(document: MergedDocument) -> Iterator[Problem]:
    for name in _keys(document, "scope_implies"):
        if fault := _fault_of_scope(name):
            yield document.problem(("scope_implies",), fault, key=name)
        scopes = document.values["scope_implies"][name]
        for index, scope in enumerate(scopes if isinstance(scopes, list) else ()):
            if isinstance(scope, str) and (fault := _fault_of_scope(scope)):
                yield document.problem(("scope_implies", name, index), fault)


def _fault_of_scope(scope: str) -> str | None:
    if not is_scope(scope):
        return f"{show(scope)} is not a valid scope: no spaces, quotes or backslashes"
    if scope.startswith("$") or "{" in scope or "}" in scope:
        return f"{show(scope)}: scope_implies has neither scope sets nor placeholders; write each scope"
    return None


def _keys(document: MergedDocument, section: str) -> list[str]:
    # As written, so that an error in an entry does not make every rule that names it an error too.
    written = document.values.get(section)
    return list(written) if isinstance(written, dict) else []


def _unknown_names(document: MergedDocument, key: str, known: Sequence[str], if_empty: str = "") -> Iterator[Problem]:
    """Yield each unknown name in a key of rules or defaults, with the hint `if_empty` if no name is known."""
    if not known and not if_empty:
        return
    for path, value in document.written(key):
        is_list = isinstance(value, list)
        for index, name in enumerate(value if is_list else (value,)):
            if isinstance(name, str) and name not in known:
                hint = suggestion(name, known) if known else if_empty
                item = (*path, index) if is_list else path
                yield document.problem(item, f"no {key.replace('_', ' ')} is called {show(name)}; {hint}")


def _upstreams(document: MergedDocument, rules: Mapping[int, Rule]) -> Iterator[Problem]:
    names = _keys(document, "upstreams")
    has_default = document.values.get("upstream") is not None
    if not has_default and not names and document.values.get("decision"):
        # Only the decision API, which forwards nothing
        yield from _unknown_names(document, "upstream", names, "`upstreams` is empty")
        return
    if not has_default and not names:
        yield document.problem((), f'missing key "upstream": {shape().meaning(("upstream",))}')
        return
    if not has_default and document.values.get("mode") == "report":
        message = "this mode forwards requests that match no rule, which needs `upstream`"
        yield document.problem(("mode",), message)
    for index, rule in rules.items():
        if rule.upstream is None and not has_default:
            message = f"names no upstream, and there is no default `upstream`; known: {', '.join(names)}"
            yield document.problem(("rules", index), message)
    yield from _unknown_names(document, "upstream", names, "`upstreams` is empty")


def _server_names(values: Mapping[str, Any]) -> dict[int, str]:
    # As written, for the same reason as in `_keys`.
    servers = values.get("authorization_servers")
    names = {
        index: server.get("name", "default")
        for index, server in enumerate(servers if isinstance(servers, list) else ())
        if isinstance(server, dict)
    }
    return {index: name for index, name in names.items() if isinstance(name, str)}


def duplicates(document: MergedDocument | Document, names: Mapping[tuple[Step, ...], str]) -> Iterator[Problem]:
    """Yield each second use of a name; `names` are by the path of the value that has the name."""
    first_uses: dict[str, tuple[Step, ...]] = {}
    for path, name in names.items():
        if first_uses.setdefault(name, path) is not path:
            position = _position(document, first_uses[name])
            yield document.problem(path, f"duplicate name {show(name)}; first used at {position}")


def _equal_rules(document: MergedDocument, rules: Mapping[int, Rule]) -> Iterator[Problem]:
    # Parsing and matching paths costs far more than this grouping, which leaves out most rules.
    groups: defaultdict[tuple[str, str], list[_Place]] = defaultdict(list)
    for index, rule in rules.items():
        for number, template in enumerate(rule.templates):
            groups[_PARAMETER.sub("{}", unquote(template)), HOST_NAME.sub("*.", rule.host or "").lower()].append(
                (index, number)
            )
    for group in groups.values():
        if len(group) > 1:
            yield from _compare(document, rules, group)


_Place = tuple[int, int]
"""The index of a rule, and that of one of its paths."""


def _compare(document: MergedDocument, rules: Mapping[int, Rule], places: Sequence[_Place]) -> Iterator[Problem]:
    patterns = {
        (index, number): RequestPattern(
            Path.parse(rules[index].templates[number]), tuple(dict.fromkeys(rules[index].methods)), rules[index].host
        )
        for index, number in places
    }
    reported: set[int] = set()
    for place, method in Matcher((pattern, place) for place, pattern in patterns.items()).conflicts:
        index, number = place
        if index not in reported:
            reported.add(index)
            first, _ = next(
                other for other in patterns if Matcher([(patterns[other], other), (patterns[place], place)]).conflicts
            )
            rival = f"rule {show(rules[first].name)} at {_position(document, ('rules', first))}"
            requests = f"{'all methods' if method == '*' else method} of {rules[index].templates[number]}"
            message = f"rule {show(rules[index].name)} matches {requests}, and so does {rival}"
            if first == index:
                message = f"rule {show(rules[index].name)} has the path {rules[index].templates[number]} twice"
            yield document.problem(("rules", index), message)


def _position(document: MergedDocument | Document, path: tuple[Step, ...]) -> str:
    return ":".join(map(str, document.where(path)))
