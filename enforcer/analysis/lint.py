"""What is no mistake in a policy, and may yet not be meant.

1. A warning is what somebody has probably overlooked; a note is worth knowing, and often meant.
2. Which rule a request falls under is asked of the matcher, with a request.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Final

from enforcer.analysis.evaluator import Entry, Policy
from enforcer.policy.rules import Rule
from enforcer.wire.fields import METHODS


class Level(StrEnum):
    """How much a finding matters."""

    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about the rule of this number, from 0, and about its value at `key` where it is one's."""

    level: Level
    code: str
    rule: int
    key: str | None
    message: str


def lint(policy: Policy) -> Iterator[Finding]:
    """Tell of a policy's rules, kind by kind."""
    yield from _never_matching(policy)
    yield from _weaker_around(policy)
    yield from _weaker_elsewhere(policy)
    yield from _public(policy)
    yield from _methods_left_out(policy)
    yield from _scopes_used_once(policy)


_ANY: Final = b"\0"
"""A segment that no rule names: it stands for all those that none does."""
_USUAL: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")


def _never_matching(policy: Policy) -> Iterator[Finding]:
    deepest = max((len(entry.place.path.segments) for entry in policy.entries), default=0)
    for at, entry in enumerate(policy.entries):
        for method in entry.rule.methods:
            if method not in METHODS:
                near = get_close_matches(method, METHODS, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                yield Finding(
                    Level.WARNING, "unknown_method", at, "methods", f"no request has the method {method}{hint}"
                )
        if entry.place.path.rest and not any(_leads_to(policy, entry, probe) for probe in _below(entry, deepest)):
            message = f'"{entry.rule.name}" never decides: other rules are for all that is below its path'
            yield Finding(Level.WARNING, "never_matches", at, "path", message)


def _below(entry: Entry, deepest: int) -> Iterator[list[bytes]]:
    # What a path of unnamed segments, deeper than all rules, leads to, it leads to at every depth below.
    path = _sample(entry)
    if path:
        yield path
    for _ in range(len(path), deepest + 2):
        yield [*path, b""]
        path = [*path, _ANY]
        yield path


def _leads_to(policy: Policy, entry: Entry, segments: list[bytes]) -> bool:
    return entry in (policy.matcher.at(segments, _host(entry)) or {}).values()


def _host(entry: Entry) -> bytes:
    """Return a host that the rule is for, and no rule that names a host more closely."""
    return (entry.rule.host or "").replace("*", "\0").encode()


def _sample(entry: Entry) -> list[bytes]:
    return [_ANY if segment is None else segment for segment in entry.place.path.segments]


def _weaker_around(policy: Policy) -> Iterator[Finding]:
    """Tell where what is nearly a rule's path falls under one that asks for less: apps may take both for the same."""
    other_letters: defaultdict[Entry, list[str]] = defaultdict(list)
    for at, entry in enumerate(policy.entries):
        path = _sample(entry)
        if not entry.place.path.rest and path != [b""]:
            ends = path[-1] == b""
            wider = _weaker(policy, entry, path[:-1] if ends else [*path, b""])
            if wider is not None:
                near = entry.rule.path.removesuffix("/") if ends else f"{entry.rule.path}/"
                message = f"{near} falls under {_named(wider)}, which asks for less; an app may take both for the same"
                yield Finding(Level.WARNING, "weaker_around", at, "path", message)
                continue
        for number, segment in enumerate(path):
            swapped = [*path[:number], segment.swapcase(), *path[number + 1 :]]
            wider = _weaker(policy, entry, swapped) if swapped != path else None
            if wider is not None:
                written = entry.rule.path.split("/")
                written[number + 1] = written[number + 1].swapcase()
                other_letters[wider].append("/".join(written))
                break
    for wider, paths in other_letters.items():
        examples = paths if len(paths) <= _FEW else [*paths[:_FEW], f"{len(paths) - _FEW} more"]
        message = f"{_either(examples, 'and')} would fall under it; in other letters, there are rules that ask for more"
        yield Finding(Level.NOTE, "weaker_in_other_letters", policy.entries.index(wider), "path", message)


def _weaker_elsewhere(policy: Policy) -> Iterator[Finding]:
    """Tell of rules for one host whose path asks for less at another: it is the client that writes Host."""
    for at, entry in enumerate(policy.entries):
        if entry.rule.host is not None:
            below = _sample(entry) + ([_ANY] if entry.place.path.rest else [])
            wider = _weaker(policy, entry, below, b"")
            if wider is not None:
                message = (
                    f"for any other Host, which clients choose, {entry.rule.path} falls under {_named(wider)}, "
                    "which asks for less"
                )
                yield Finding(Level.WARNING, "weaker_for_other_hosts", at, "host", message)


_FEW: Final = 3  # examples that are enough


def _weaker(policy: Policy, entry: Entry, segments: list[bytes], host: bytes | None = None) -> Entry | None:
    for method in entry.rule.methods or _USUAL:
        found = policy.matcher.find(segments, method.encode(), _host(entry) if host is None else host)
        if found is None or found is entry or found.rule.upstream != entry.rule.upstream:
            continue
        if _asks_less(found.rule, entry.rule):
            return found
    return None


def _asks_less(one: Rule, other: Rule) -> bool:
    if one.public or other.public:
        return one.public and not other.public
    return _conditions(one) < _conditions(other)


def _conditions(rule: Rule) -> frozenset[tuple[str, object]]:
    wholes = {key: frozenset(getattr(rule, key)) for key in ("any_scope", "audience", "issuer", "client_ids")}
    return frozenset(
        [
            *(("scope", scope) for scope in rule.scopes),
            *((key, whole) for key, whole in wholes.items() if whole),
            *((f"claims.{name}", repr(value)) for name, value in rule.claims.items()),
        ]
    )


def _public(policy: Policy) -> Iterator[Finding]:
    for at, entry in enumerate(policy.entries):
        if entry.rule.public:
            methods = _either(entry.rule.methods, "and") or "all methods"
            yield Finding(Level.NOTE, "public", at, None, f"everybody may pass: {methods} of {entry.rule.path}")


def _methods_left_out(policy: Policy) -> Iterator[Finding]:
    """Tell of methods that rules leave out in a whole area (`**`), or where a wider rule is for them.

    That an exact path lacks some methods is how most apps are.
    """
    places: defaultdict[Shape, dict[str, int]] = defaultdict(dict)
    for at, entry in enumerate(policy.entries):
        path = entry.place.path
        for method in entry.rule.methods or METHODS:
            places[path.segments, path.rest, entry.rule.host].setdefault(method, at)
    for shape, methods in places.items():
        left = [method for method in _USUAL if method not in methods]
        around = next((places[wider] for wider in _around(shape) if wider in places), {})
        wider = [around[method] for method in left if method in around]
        if wider or (left and shape[1] and not methods.keys() <= {"GET", "HEAD"}):
            at = min(methods.values())
            though = f", though {_named(policy.entries[wider[0]])} is for it around there" if wider else ""
            message = f"no rule is for {_either(left, 'or')} of {policy.entries[at].rule.path}: refused{though}"
            yield Finding(Level.NOTE, "methods_left_out", at, "methods", message)


Shape = tuple[tuple[bytes | None, ...], bool, str | None]
"""A path's segments, whether it ends in `**`, and the host."""


def _around(shape: Shape) -> Iterator[Shape]:
    segments, rest, host = shape
    for length in range(len(segments) - rest, -1, -1):
        yield segments[:length], True, host


def _scopes_used_once(policy: Policy) -> Iterator[Finding]:
    uses: defaultdict[str, list[int]] = defaultdict(list)
    for at, entry in enumerate(policy.entries):
        for scope in dict.fromkeys((*entry.rule.scopes, *entry.rule.any_scope)):
            uses[scope].append(at)
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for scope in uses:
        for one in _with_one_letter_less(scope):
            alike[one].append(scope)
    # Where no scope is in several rules, one that is in one is nothing to wonder at.
    reused = any(len(rules) > 1 for rules in uses.values())
    for scope, rules in uses.items():
        if len(rules) > 1:
            continue
        key = "scopes" if scope in policy.entries[rules[0]].rule.scopes else "any_scope"
        near = [other for one in _with_one_letter_less(scope) for other in alike[one] if _may_be_meant(scope, other)]
        other = max(near, key=lambda one: len(uses[one]), default=None)
        if other is not None and len(uses[other]) > 1:
            message = f"{scope} is in no other rule; did you mean {other}, which is in {len(uses[other])}?"
            yield Finding(Level.WARNING, "scope_like_another", rules[0], key, message)
        elif other is not None or reused:
            hint = "" if other is None else f"; {other} is nearly the same"
            yield Finding(Level.NOTE, "scope_used_once", rules[0], key, f"{scope} is in no other rule{hint}")


def _with_one_letter_less(scope: str) -> list[str]:
    # Two that differ by one letter, or by two that changed places, have one of these in common.
    return [scope, *(scope[:at] + scope[at + 1 :] for at in range(len(scope)))]


def _may_be_meant(scope: str, other: str) -> bool:
    if scope == other or len(scope) <= _SHORT or scope.translate(_NO_DIGITS) == other.translate(_NO_DIGITS):
        return False  # alike by chance, or on purpose, as v1.read and v2.read
    if len(scope) != len(other):
        return True
    places = [at for at, (one, two) in enumerate(zip(scope, other, strict=True)) if one != two]
    return len(places) == 1 or [scope[at] for at in places] == [other[at] for at in reversed(places)]


_SHORT: Final = 3  # letters
_NO_DIGITS: Final = str.maketrans("", "", "0123456789")


def _named(entry: Entry) -> str:
    return f'"{entry.rule.name}" ({entry.where})'


def _either(words: tuple[str, ...] | list[str], link: str) -> str:
    return f" {link} ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
