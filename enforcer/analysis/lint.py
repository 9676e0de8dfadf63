"""Finds valid rules that are probably unintended.

1. A warning is probably an oversight; a note is worth knowing, and often intended.
2. The matcher decides which rule a request matches; lint only chooses the requests.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Final
from urllib.parse import quote

from enforcer.analysis.evaluator import Policy, PolicyRule
from enforcer.analysis.strength import not_required
from enforcer.policy.ambiguity import Parting, settle
from enforcer.policy.matcher import choose
from enforcer.policy.rules import Rule, written_texts
from enforcer.policy.templates import HOST_NAME, Affix, Segment, fixed_text
from enforcer.wire.fields import METHODS
from enforcer.wire.target import parse


class Level(StrEnum):
    """How much a finding matters."""

    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding about the rule with index `rule`, and about the value of its `key` if that is not None.

    `below` is the path of the value within that of the key.
    """

    level: Level
    code: str
    rule: int
    key: str | None
    message: str
    below: tuple[str | int, ...] = ()


def lint(policy: Policy) -> Iterator[Finding]:
    """Yield the findings about a policy, kind by kind."""
    yield from _never_matching(policy)
    yield from _weaker_around(policy)
    yield from _weaker_parts(policy)
    yield from _weaker_elsewhere(policy)
    yield from _refused_between(policy)
    yield from _public(policy)
    yield from _methods_left_out(policy)
    yield from _scopes_used_once(policy)
    yield from _authenticated_with_scopes(policy)
    yield from _literal_parameters(policy)
    yield from _literal_placeholders(policy)


_ANY: Final = b"\0"
"""A segment that no rule has as a literal; it represents all such segments."""
_LITERAL_PARAMETER: Final = re.compile(r"(?::|<(?:\w+:)?|\$\{)([A-Za-z_]\w*)[>}]?")
"""A segment that is a parameter to some frameworks: `:id`, `<id>`, `<int:id>`, `${id}`."""
_LITERAL_PLACEHOLDER: Final = re.compile(r"\{\{\s*([?#]?[A-Za-z0-9_.~-]+)\s*\}\}|\$\{([?#]?[A-Za-z0-9_.~-]+)\}")
"""A placeholder as other programs write it: `{{id}}`, `${id}`."""
_COMMON_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")


def _never_matching(policy: Policy) -> Iterator[Finding]:
    deepest = max((len(entry.pattern.path.segments) for entry in policy.entries), default=0)
    for index, rule in policy.rules:
        for method in rule.methods:
            if method not in METHODS:
                near = get_close_matches(method, METHODS, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                yield Finding(
                    Level.WARNING,
                    "unknown_method",
                    index,
                    "methods",
                    f"requests with the method {method} are answered 501{hint}",
                )
    for entry in policy.entries:
        if entry.pattern.path.rest and not any(_leads_to(policy, entry, probe) for probe in _below(entry, deepest)):
            message = f'"{entry.rule.name}" never matches: other rules match every path below it'
            if entry.rule.path is None:
                message = f'"{entry.rule.name}" never matches {entry.path}: other rules match every path below it'
            yield Finding(Level.WARNING, "never_matches", entry.index, _path_key(entry), message)


def _below(entry: PolicyRule, deepest: int) -> Iterator[list[bytes]]:
    # Below the deepest rule, a path of other segments matches the same rule at every depth.
    path = _sample(entry)
    if path:
        yield path
    for _ in range(len(path), deepest + 2):
        yield [*path, b""]
        path = [*path, _ANY]
        yield path


def _leads_to(policy: Policy, entry: PolicyRule, segments: list[bytes]) -> bool:
    return entry in (policy.matcher.matches(segments, _host(entry)) or {}).values()


def _host(entry: PolicyRule) -> bytes:
    """Return a host that the rule matches, and no rule with a more specific host."""
    return HOST_NAME.sub("*.", entry.rule.host or "").replace("*", "\0").encode()


def _sample(entry: PolicyRule) -> list[bytes]:
    return entry.pattern.path.sample(_ANY)


def _weaker_around(policy: Policy) -> Iterator[Finding]:
    """Find paths that an app may treat as a rule's own, and for which another rule lets other requests pass.

    They have another trailing slash, or other letter case. No rule can list all spellings of a path, and most apps
    distinguish them, so that other letter case is only a note.
    """
    paths = {entry.path for entry in policy.entries}
    other_case: defaultdict[PolicyRule, list[str]] = defaultdict(list)
    for entry in policy.entries:
        path = _sample(entry)
        if not entry.pattern.path.rest and path != [b""]:
            has_slash = path[-1] == b""
            weaker = _weaker(policy, entry, path[:-1] if has_slash else [*path, b""])
            if weaker is not None:
                bare = entry.path.removesuffix("/")
                near, below = bare if has_slash else f"{bare}/", f"{bare}/**"
                close = f"add a rule for {near}" if below in paths else f"let its path be {below}"
                message = f"{near} matches {_less(weaker, entry)}; an app may treat both as the same: {close}"
                yield Finding(Level.WARNING, "weaker_around", entry.index, _path_key(entry), message)
        for position, segment in enumerate(path):
            swapped = [*path[:position], segment.swapcase(), *path[position + 1 :]]
            weaker = _weaker(policy, entry, swapped) if swapped != path else None
            if weaker is not None:
                parts = entry.path.split("/")
                parts[position + 1] = parts[position + 1].swapcase()
                other_case[weaker].append("/".join(parts))
                break
    for weaker, spellings in other_case.items():
        examples = spellings if len(spellings) <= _FEW else [*spellings[:_FEW], f"{len(spellings) - _FEW} more"]
        message = (
            f"{_either(examples, 'and')} would match it; rules for the other letter case have other conditions, "
            "which it needs too if the app ignores case"
        )
        yield Finding(Level.NOTE, "weaker_in_other_letters", weaker.index, _path_key(weaker), message)


def _weaker_parts(policy: Policy) -> Iterator[Finding]:
    """Find segments with fixed text around a `{name}` that a weaker rule matches.

    They have an empty name, or the fixed text of another rule too, whose path is more specific.
    """
    groups: defaultdict[tuple[tuple[Segment, ...], bool, int], list[tuple[PolicyRule, Affix]]] = defaultdict(list)
    for entry in policy.entries:
        segments = entry.pattern.path.segments
        for position, segment in enumerate(segments):
            if not isinstance(segment, Affix):
                continue
            empty = segment.prefix + segment.suffix
            weaker = _weaker(policy, entry, _replaced(entry, position, empty))
            if weaker is not None:
                near = _spelled(entry, position, empty)
                message = (
                    f"{near} matches {_less(weaker, entry)}; an app may read it as an empty name: add a rule for it"
                )
                yield Finding(Level.WARNING, "weaker_around", entry.index, _path_key(entry), message)
            others = (*segments[:position], None, *segments[position + 1 :])
            groups[others, entry.pattern.path.rest, position].append((entry, segment))
    for (_, _, position), members in groups.items():
        for entry, segment in members:
            for other, its in members:
                both = _both(segment, its)
                if other is entry or both is None:
                    continue
                path = _replaced(entry, position, both.prefix + _ANY + both.suffix)
                if _weaker(policy, entry, path) is other:
                    near = _spelled(entry, position, both.prefix + b"{name}" + both.suffix)
                    message = (
                        f"{near} matches {_less(other, entry)}, because its path is more specific: add a rule for it"
                    )
                    yield Finding(Level.WARNING, "weaker_overlap", entry.index, _path_key(entry), message)


def _both(first: Affix, other: Affix) -> Affix | None:
    """Return the fixed text of the segments that have that of both; None if no segment has."""
    prefix, suffix = max(first.prefix, other.prefix, key=len), max(first.suffix, other.suffix, key=len)
    fits = prefix.startswith(first.prefix) and prefix.startswith(other.prefix)
    return Affix(prefix, suffix) if fits and suffix.endswith(first.suffix) and suffix.endswith(other.suffix) else None


def _replaced(entry: PolicyRule, position: int, segment: bytes) -> list[bytes]:
    path = _sample(entry)
    below = [_ANY] if entry.pattern.path.rest else []
    return [*path[:position], segment, *path[position + 1 :], *below]


def _spelled(entry: PolicyRule, position: int, segment: bytes) -> str:
    parts = entry.path.split("/")
    parts[position + 1] = segment.decode("utf-8", "replace")
    return "/".join(parts)


def _weaker_elsewhere(policy: Policy) -> Iterator[Finding]:
    """Find rules for one host with a weaker rule for other hosts: clients choose the Host field."""
    for entry in policy.entries:
        if entry.rule.host is not None:
            below = _sample(entry) + ([_ANY] if entry.pattern.path.rest else [])
            weaker = _weaker(policy, entry, below, b"")
            if weaker is not None:
                message = f"for any other Host, which clients choose, {entry.path} matches {_less(weaker, entry)}"
                yield Finding(Level.WARNING, "weaker_for_other_hosts", entry.index, "host", message)


_NAME: Final = "~name~"
"""A name that no rule has as a literal, for paths that are parsed."""


def _refused_between(policy: Policy) -> Iterator[Finding]:
    """Find rules for whose `{name}` a value with an encoded slash is refused, because another rule may apply to it."""
    pairs: set[tuple[int, int]] = set()
    for entry in policy.entries:
        for position, segment in enumerate(entry.pattern.path.segments):
            if isinstance(segment, bytes):
                continue
            for other in _rules_of_value(policy, entry, position):
                if (entry.index, other.index) in pairs:
                    continue
                pairs.add((entry.index, other.index))
                where = f"a path with %2F within the name in {entry.path} is refused, because it may also match"
                if "slash" in entry.rule.encoded:
                    message = f"{where} {_named(other)}; if that app keeps it, too, add encoded: [slash] there"
                    yield Finding(Level.WARNING, "encoded_in_part", entry.index, "encoded", message)
                else:
                    message = f"{where} {_named(other)}; if the app keeps it, add encoded: [slash] to both rules"
                    yield Finding(Level.NOTE, "refused_between", entry.index, _path_key(entry), message)


def _rules_of_value(policy: Policy, entry: PolicyRule, position: int) -> list[PolicyRule]:
    """Return the other rules that a path may match whose name at `position` has an encoded slash; none if it passes."""
    parts = [quote(segment) for segment in entry.pattern.path.sample(_NAME.encode())]
    parts[position] = parts[position].replace(_NAME, f"{_NAME}%2F{_NAME}")
    if entry.pattern.path.rest:
        parts.append(_NAME)
    target = parse(f"/{'/'.join(parts)}".encode())
    methods = settle(policy.matcher, target, _host(entry))
    match = choose(methods, (entry.rule.methods or _COMMON_METHODS)[0].encode())
    values = match.values if isinstance(match, Parting) and entry in match.values else ()
    return [value for value in values if value is not None and value is not entry]


_FEW: Final = 3  # examples in a message


def _weaker(policy: Policy, entry: PolicyRule, segments: list[bytes], host: bytes | None = None) -> PolicyRule | None:
    for method in entry.rule.methods or _COMMON_METHODS:
        match = policy.matcher.find(segments, method.encode(), _host(entry) if host is None else host)
        if match is None or match is entry or match.rule.upstream != entry.rule.upstream:
            continue
        if not_required(match, entry):
            return match
    return None


def _less(weaker: PolicyRule, entry: PolicyRule) -> str:
    return f"{_named(weaker)}, which does not require {not_required(weaker, entry)}"


def _public(policy: Policy) -> Iterator[Finding]:
    for index, rule in policy.rules:
        if rule.public:
            methods = _either(rule.methods, "and") or "all methods"
            message = f"everybody is allowed: {methods} of {_either(rule.templates, 'and')}"
            yield Finding(Level.NOTE, "public", index, None, message)


def _methods_left_out(policy: Policy) -> Iterator[Finding]:
    """Find methods that no rule has in a whole area (`**`), or that only a less specific rule has.

    That an exact path lacks some methods is usual.
    """
    by_shape: defaultdict[Shape, dict[str, int]] = defaultdict(dict)
    for position, entry in enumerate(policy.entries):
        path = entry.pattern.path
        for method in entry.rule.methods or METHODS:
            by_shape[path.segments, path.rest, entry.rule.host].setdefault(method, position)
    for shape, methods in by_shape.items():
        missing = [method for method in _COMMON_METHODS if method not in methods]
        around = next((by_shape[wider] for wider in _around(shape) if wider in by_shape), {})
        wider_rules = [around[method] for method in missing if method in around]
        if wider_rules or (missing and shape[1] and not methods.keys() <= {"GET", "HEAD"}):
            first = policy.entries[min(methods.values())]
            though = f", though {_named(policy.entries[wider_rules[0]])} allows it around there" if wider_rules else ""
            message = f"no rule matches {_either(missing, 'or')} of {first.path}: denied{though}"
            yield Finding(Level.NOTE, "methods_left_out", first.index, "methods", message)


Shape = tuple[tuple[Segment, ...], bool, str | None]
"""A path's segments, whether it ends in `**`, and the host."""


def _around(shape: Shape) -> Iterator[Shape]:
    segments, rest, host = shape
    for length in range(len(segments) - rest, -1, -1):
        yield segments[:length], True, host


def _scopes_used_once(policy: Policy) -> Iterator[Finding]:
    uses: defaultdict[str, list[int]] = defaultdict(list)
    for index, rule in policy.rules:
        for scope in dict.fromkeys(scope for _, scope in _scopes_of(rule)):
            uses[scope].append(index)
    by_index = dict(policy.rules)
    by_variant: defaultdict[str, list[str]] = defaultdict(list)
    for scope in uses:
        for variant in _variants(scope):
            by_variant[variant].append(scope)
    # If no scope is in several rules, a scope in only one rule is normal.
    reused = any(len(rules) > 1 for rules in uses.values())
    for scope, rules in uses.items():
        if len(rules) > 1:
            continue
        key = next(key for key, other in _scopes_of(by_index[rules[0]]) if other == scope)
        near = [other for variant in _variants(scope) for other in by_variant[variant] if _may_be_typo(scope, other)]
        other = max(near, key=lambda candidate: len(uses[candidate]), default=None)
        if other is not None and len(uses[other]) > 1:
            message = f"{scope} is in no other rule; did you mean {other}, which is in {len(uses[other])}?"
            yield Finding(Level.WARNING, "scope_like_another", rules[0], key, message)
        elif other is not None or reused:
            hint = "" if other is None else f"; {other} is nearly the same"
            yield Finding(Level.NOTE, "scope_used_once", rules[0], key, f"{scope} is in no other rule{hint}")


def _scopes_of(rule: Rule) -> Iterator[tuple[str, str]]:
    """Yield the scopes that a rule names, each with the key of the rule that it is in."""
    yield from (("scopes", scope) for scope in rule.scopes)
    yield from (("any_scope", scope) for scope in rule.any_scope)
    yield from (("any_of", scope) for each in rule.any_of for scope in (*each.scopes, *each.any_scope))


def _variants(scope: str) -> list[str]:
    # The scope, and each with one letter removed: two scopes that differ by a letter, or by a swap, have one in common.
    return [scope, *(scope[:position] + scope[position + 1 :] for position in range(len(scope)))]


def _may_be_typo(scope: str, other: str) -> bool:
    if scope == other or len(scope) <= _SHORT or scope.translate(_NO_DIGITS) == other.translate(_NO_DIGITS):
        return False  # similar by chance, or on purpose, as v1.read and v2.read
    if len(scope) != len(other):
        return True
    pairs = zip(scope, other, strict=True)
    differing = [position for position, (letter, other_letter) in enumerate(pairs) if letter != other_letter]
    return len(differing) == 1 or [scope[p] for p in differing] == [other[p] for p in reversed(differing)]


_SHORT: Final = 3  # letters
_NO_DIGITS: Final = str.maketrans("", "", "0123456789")


def _path_key(entry: PolicyRule) -> str:
    """Return the key that the rule has its path in."""
    return "path" if entry.rule.path is not None else "paths"


def _named(entry: PolicyRule) -> str:
    return f'"{entry.rule.name}" ({entry.where})'


def _either(words: tuple[str, ...] | list[str], link: str) -> str:
    return f" {link} ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def _authenticated_with_scopes(policy: Policy) -> Iterator[Finding]:
    """Find rules that say both that any active token is enough and which scopes it needs: the scopes apply."""
    for index, rule in policy.rules:
        if rule.authenticated and (rule.scopes or rule.any_scope):
            message = "has no effect: the token must have the rule's scopes; remove one or the other"
            yield Finding(Level.WARNING, "authenticated_with_scopes", index, "authenticated", message)


def _literal_parameters(policy: Policy) -> Iterator[Finding]:
    """Find parameters as other programs write them: to a rule they are text, which hardly any request has."""
    for entry in policy.entries:
        for segment in entry.path.split("/"):
            match = _LITERAL_PARAMETER.fullmatch(segment)
            if match is not None:
                text = "text here, which a request must have as it is"
                meaning = "the character $ and a parameter here" if "$" in segment else text
                message = f"{segment} is {meaning}; a parameter is {{{match[1]}}}"
                yield Finding(Level.WARNING, "literal_parameter", entry.index, _path_key(entry), message)


def _literal_placeholders(policy: Policy) -> Iterator[Finding]:
    """Find placeholders as other programs write them: to a rule, all or a part of them is text."""
    for index, rule in policy.rules:
        for path, text in written_texts(rule):
            for match in _LITERAL_PLACEHOLDER.finditer(text):
                literal = fixed_text(match[0])
                meaning = "the character $ and a placeholder" if literal is None else f"the text {literal}"
                message = f"{match[0]} is {meaning} here; a placeholder is {{{match[1] or match[2]}}}"
                # A set of scopes stands at one position of the file, and its scopes at several here.
                below = path[1:-1] if path[-2] in ("scopes", "any_scope") else path[1:]
                yield Finding(Level.WARNING, "literal_placeholder", index, str(path[0]), message, below)
