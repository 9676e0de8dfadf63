"""Ambiguous paths: decided only if all readings mean the same to the rules."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from harness.parsers import PARSERS, mixed_readings
from harness.policies import policy
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from enforcer.analysis.evaluator import Policy, PolicyRequest, PolicyRule
from enforcer.analysis.request_heads import UnreadableRequestError
from enforcer.errors import MalformedRequestError
from enforcer.policy.ambiguity import STATES, STEPS, Parting, settle
from enforcer.policy.matcher import choose
from enforcer.wire.target import Target, parse

SHOP: list[dict[str, Any]] = [
    {"name": "all", "path": "/**", "public": True},
    {"name": "admin", "path": "/admin/**", "scopes": ["admin"]},
    {"name": "user", "path": "/users/{id}", "claims": {"sub": "{id}"}},
    {"name": "any user", "path": "/people/{id}", "scopes": ["people"]},
    {"name": "both", "paths": ["/x/{name}", "/y/{name}/z"], "claims": {"sub": "{name}"}},
    {"name": "search", "path": "/search/**", "query": {"tenant": "a"}, "public": True},
    {"name": "accent", "path": "/é", "scopes": ["accent"]},
    {"name": "file", "path": "/files/{name}.txt", "scopes": ["files"]},
]


def outcome(target: str, *rules: dict[str, Any], method: str = "GET") -> str:
    """Return the name of the rule that a target leads to, or why its readings part."""
    try:
        located = policy(*(rules or SHOP)).locate(PolicyRequest(method, target, "app"))
    except UnreadableRequestError as error:
        return str(error)
    if located.parting is not None:
        return str(located.parting)
    return "no rule" if located.entry is None else located.entry.rule.name


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/@scope%2fname", "all"),
        ("/api/queues/%2F/q", "all"),
        ("/https://example.org//a", "all"),
        ("/a;jsessionid=1/b", "all"),
        ("/C%23%20notes%25.txt", "all"),
        ("/%20/%ff/%C2%85/x", "all"),
        ("/a/b/../c", "all"),
        ("/admin/a%2Fb;c//d", "admin"),
        ("/people/a;b", "any user"),
        ("/people/;b", 'lead to rule "any user"'),
        ("/search/a%253Fb", 'differ in what conditions of rule "search" read'),
        ("/people/a%25b", "any user"),
        ("/users/a%25", "user"),
        ("/users/a%2541", 'differ in what conditions of rule "user" read'),
        ("/users/a;b", 'differ in what conditions of rule "user" read'),
        ("/users/a%01", 'differ in what conditions of rule "user" read'),
        ("/users/a%2Fb", 'lead to rule "user" and rule "all"'),
        ("/x/..%2fadmin", 'lead to rule "both"'),
        ("/b/..%2fadmin", 'lead to rule "all" and rule "admin"'),
        ("//admin/b", 'lead to rule "all" and rule "admin"'),
        ("//host/admin", 'lead to rule "all" and rule "admin"'),
        ("//host%2Fx/admin", 'lead to rule "all", rule "admin" and rule "both"'),
        ("//host%5Cx/admin", 'lead to rule "all", rule "admin" and rule "both"'),
        ("/%2fhost/admin", 'lead to rule "all" and rule "admin"'),
        ("/%5Chost/admin", 'lead to rule "all" and rule "admin"'),
        ("/%2Fhost%2fadmin", 'lead to rule "all" and rule "admin"'),
        ("/%252fhost/admin", 'lead to rule "all" and rule "admin"'),
        ("/%2561dmin", 'lead to rule "all" and rule "admin"'),
        ("/%25%36%31dmin", 'lead to rule "all" and rule "admin"'),
        ("/%252561dmin", 'lead to rule "all" and rule "admin"'),
        ("/%c1%a1dmin", 'lead to rule "all" and rule "admin"'),
        ("/a%c0%af..%c0%afadmin", 'lead to rule "all" and rule "admin"'),
        ("/b/%c0%ae%c0%ae/admin", 'lead to rule "all" and rule "admin"'),
        ("/b/%e0%80%ae%C0%AE/admin", 'lead to rule "all" and rule "admin"'),
        ("/b/%c0%ae%c0%ae%c0%afadmin/c", 'lead to rule "all" and rule "admin"'),
        ("/%ff%C3%A9", 'lead to rule "all" and rule "accent"'),
        ("/%C2%85%C3%A9", 'lead to rule "all" and rule "accent"'),
        ("/%ff%C2%85%C3%A9", 'lead to rule "all" and rule "accent"'),
        ("/ad%01min", 'lead to rule "all" and rule "admin"'),
        ("/ad%ffmin", 'lead to rule "all" and rule "admin"'),
        ("/a\\..\\admin", 'lead to rule "all" and rule "admin"'),
        ("/b/.%20./admin", 'lead to rule "all" and rule "admin"'),
        ("/b/..;x/admin", 'lead to rule "all" and rule "admin"'),
        ("/b/%2e%2E;x/admin", 'lead to rule "all" and rule "admin"'),
        ("/admin;x", 'lead to rule "all" and rule "admin"'),
        ("/admin%3Fx", 'lead to rule "all" and rule "admin"'),
        ("/admin%23x", 'lead to rule "all" and rule "admin"'),
        ("/search/a%3Fb", 'differ in what conditions of rule "search" read'),
        ("/search/a%2Fb", "search"),
        ("/files/a%2Fb.txt", 'lead to rule "file" and rule "all"'),
        ("/files/a%25.txt", "file"),
    ],
)
def test_a_path_is_decided_only_if_its_readings_agree(target: str, expected: str) -> None:
    """On the rule, and on what its conditions read of the path and the query."""
    result = outcome(target)
    assert result == expected or (" " in expected and expected in result)


@pytest.mark.parametrize("target", ["//a%2Fb", "//a%5Cb", "//a%3Fb/c", "//a%23b/c", "/%2Fa%3Fb/c"])
def test_an_authority_may_be_all_there_is_of_a_path(target: str) -> None:
    """Its reader ends it at a slash that was sent as such, or at any delimiter that it decodes before."""
    root = {"name": "root", "path": "/", "scopes": ["admin"]}
    assert "lead to rule" in outcome(target, root, {"name": "all", "path": "/**", "public": True})


def test_below_one_rule_everything_passes() -> None:
    """However many readings there are, and however long the path is."""
    only = {"name": "only", "path": "/**", "public": True}
    for path in ("/%2F%5C%3B%3F%23%25", "/x/" + "%252525252F..;%01/" * 400, "/a//b///;/./c/%20/"):
        assert outcome(path, only) == "only"


def test_two_paths_of_one_rule_are_compared_by_their_names() -> None:
    """`{name}` has the same value, though it is another segment."""
    rule = {"name": "both", "paths": ["/{name}/z", "/p/{name}/z"], "claims": {"sub": "{name}"}}
    assert "both" in outcome("/p/../p/a/z", rule)
    assert outcome("/p//z", rule).startswith("the readings")


def test_the_work_is_bounded() -> None:
    """A path with too many readings is refused; one whose readings cannot matter is not, however long it is."""
    assert outcome("/users/" + "a%01" * 12) == "the path has too many readings"
    assert outcome("/users/" + "..%2Fusers/" * STEPS) == "the path has too many readings"
    assert outcome("/b/" + "a%2Fb;c%25d/" * 600) == "all"
    assert STATES <= 64


def test_methods_are_compared_each_by_itself() -> None:
    """A method passes if it has the same rule in every reading."""
    rules: list[dict[str, Any]] = [
        {"name": "all", "path": "/**", "public": True},
        {"name": "read", "path": "/a", "methods": ["GET"], "scopes": ["a"]},
    ]
    for method in ("GET", "HEAD", "POST"):
        assert "lead to" in outcome("/a;b", *rules, method=method)
    assert outcome("/c;b", *rules, method="POST") == "all"
    assert outcome("/c;b", *rules, method="CONNECT") == "no rule"


ENCODED: list[dict[str, Any]] = [
    {"name": "project", "path": "/projects/{id}", "encoded": ["slash"], "claims": {"sub": "{id}"}},
    {"name": "issues", "path": "/projects/{id}/issues", "encoded": ["slash"], "scopes": ["issues"]},
    {"name": "secret", "path": "/projects/{id}/secret", "scopes": ["secret"]},
    {"name": "admin", "path": "/admin/**", "scopes": ["admin"]},
    {"name": "open", "path": "/open/{name}", "public": True},
    {"name": "issues of open", "path": "/open/projects/**", "encoded": ["slash"], "scopes": ["issues"]},
]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/projects/group%2Fname", "project"),
        ("/projects/group%2fa%2Fb", "project"),
        ("/projects/group%2Fissues", "project"),
        ("/projects/group%2Fname/issues", "issues"),
        ("/projects/group%2Fsecret", 'rule "project" and rule "secret"'),
        ("/projects/group%2Fname/secret", 'rule "secret" and no rule'),
        ("/projects/x%2F..%2F..%2F..%2Fadmin", "leads above"),
        ("/projects/..%2Fadmin", 'rule "project" and rule "admin"'),
        ("/projects/..%2Fx", 'rule "project" and no rule'),
        ("/projects/a%5Cb", 'rule "project" and no rule'),
        ("/projects/a%252Fb", "differ in what conditions"),
        ("/projects/a%2Fb;c", "differ in what conditions"),
        ("/projects%2Fa", 'no rule and rule "project"'),
        ("/open/projects%2Fa", 'rule "open" and rule "issues of open"'),
    ],
)
def test_a_delimiter_that_the_app_keeps_is_a_byte_of_its_segment(target: str, expected: str) -> None:
    """For the rules that say so, and for no other rule; never as a part of a dot segment."""
    result = outcome(target, *ENCODED)
    assert result == expected or (" " in expected and expected in result)


@pytest.mark.parametrize(
    ("delimiter", "text"),
    [
        ("slash", "%2F"),
        ("backslash", "%5C"),
        ("backslash", "\\"),
        ("semicolon", "%3B"),
        ("semicolon", ";"),
        ("question_mark", "%3F"),
        ("hash", "%23"),
        ("percent", "%2541"),
    ],
)
def test_each_delimiter_can_be_kept(delimiter: str, text: str) -> None:
    """Without the key, the path is refused."""
    rule = {"name": "a", "path": "/{a}", "claims": {"sub": "{a}"}}
    assert outcome(f"/x{text}y", rule).startswith("the readings")
    assert outcome(f"/x{text}y", {**rule, "encoded": [delimiter]}) == "a"
    others = {"slash", "backslash", "semicolon", "question_mark", "hash", "percent"} - {delimiter}
    assert outcome(f"/x{text}y", {**rule, "encoded": sorted(others)}).startswith("the readings")


_NAMES = ["a", "b", "{x}", "{x}.b", "a{x}"]
_PATHS = st.builds(
    lambda parts, end: "/" + "/".join([*dict.fromkeys(parts), *end]),
    st.lists(st.sampled_from(["a", "b", "a", "{x}", "c{y}"]), max_size=3),
    st.sampled_from([[], [], ["**"], ["**"]]),
)
_RULES = st.lists(
    st.fixed_dictionaries(
        {"path": _PATHS, "methods": st.sampled_from([[], ["GET"], ["POST"]])},
        optional={"host": st.sampled_from(["app", "*.app"])},
    ),
    min_size=1,
    max_size=5,
)
_PIECES = st.sampled_from(
    [
        *("a", "b", "c", "a", "b", "/", "/", "//", ".", "..", "/../", "/./", "%2e", "%2E%2e", "%20"),
        *("%2f", "%2F", "%5C", "\\", ";", "%3b", "%3F", "%23", "%25", "%252F", "%252e", "%2561", "%25%36%31", "%01"),
        *("%ff", "%c0%af", "%c0%ae", "%c1%a1", "%C2%85", "%c3%a9", "%09", "%61", "x", "..;", "%252e%252e%252f"),
    ]
)
_TARGETS = st.lists(_PIECES, min_size=1, max_size=7).map(lambda pieces: "/" + "".join(pieces))


def compiled(rules: list[dict[str, Any]]) -> Policy:
    """Return a policy of rules, each with conditions on every name of its path."""
    named = []
    for number, rule in enumerate(rules):
        names = [name for name in ("x", "y") if f"{{{name}}}" in rule["path"]]
        claims = {f"claim{name}": f"{{{name}}}" for name in names}
        named.append({**rule, "name": str(number), **({"claims": claims} if claims else {"scopes": ["s"]})})
    conflicting = {entry.rule.name for entry, _ in policy(*named).matcher.conflicts}
    return policy(*(rule for rule in named if rule["name"] not in conflicting))


def located(tried: Policy, target: str, method: bytes) -> tuple[Target, PolicyRule | None]:
    """Return a target that is not refused, and its rule; the example is skipped if the target is refused."""
    try:
        parsed = parse(target.encode())
    except MalformedRequestError:
        assume(False)
    if not parsed.ambiguous:
        methods = tried.matcher.matches(parsed.segments, b"app")
        return parsed, None if methods is None else choose(methods, method)
    match = choose(settle(tried.matcher, parsed, b"app"), method)
    assume(not isinstance(match, Parting))
    assert not isinstance(match, Parting)
    return parsed, match


def meanings(tried: Policy, readings: Iterator[list[bytes]], method: bytes) -> set[tuple[PolicyRule | None, Any]]:
    """Return what each reading leads to: the rule, and the values of its names."""
    result = set()
    for segments in readings:
        entry = tried.matcher.find(segments or [b""], method, b"app")
        result.add((entry, None if entry is None else tuple(entry.requirement.captured(segments))))
    return result


@settings(max_examples=200)
@given(_RULES, _TARGETS, st.sampled_from([b"GET", b"HEAD", b"POST"]))
@example([{"path": "/a/**", "methods": []}, {"path": "/**", "methods": []}], "/b/..%2fa", b"GET")
@example([{"path": "/", "methods": []}], "//a\\a", b"GET")
@example([{"path": "/", "methods": []}], "//a%2fa", b"GET")
def test_whatever_parser_an_app_has_it_reads_a_path_of_the_same_rule(
    rules: list[dict[str, Any]], target: str, method: bytes
) -> None:
    """If a request is forwarded, the reading of each parser leads to the rule that allows it, with equal values."""
    tried = compiled(rules)
    parsed, entry = located(tried, target, method)
    for parser in PARSERS:
        segments = parser(parsed.path)
        if segments is not None and parsed.ambiguous:
            assert {other for other, _ in meanings(tried, iter([segments]), method)} == {entry}, parser.__name__


@settings(max_examples=120)
@given(_RULES, _TARGETS, st.sampled_from([b"GET", b"POST"]))
@example([{"path": "/**", "methods": []}, {"path": "/{x}", "methods": ["POST"]}], "/%2faa", b"GET")
def test_parsers_that_treat_equal_bytes_differently_read_a_path_of_the_same_rule(
    rules: list[dict[str, Any]], target: str, method: bytes
) -> None:
    """Every choice for each occurrence, enumerated without the tries, leads to the same rule with the same values."""
    tried = compiled(rules)
    parsed, _ = located(tried, target, method)
    if parsed.ambiguous:
        assert len(meanings(tried, mixed_readings(parsed.path), method)) <= 1


@pytest.mark.parametrize("path", ["/{x}", "/a/{x}", "/{x}/a", "/{x}.b", "/a", "/a/**", "/{x}/**", "/"])
def test_every_short_path_is_read_under_one_rule(path: str) -> None:
    """All paths of up to three pieces, below `/**` and a rule that has the path only for POST."""
    tried = compiled([{"path": "/**"}, {"path": path, "methods": ["POST"]}])
    pieces = ("a", "/", "%2f", ";", "..", ".b", "%3F")
    for target in ("/" + "".join(parts) for length in (1, 2, 3) for parts in product(pieces, repeat=length)):
        try:
            parsed = parse(target.encode())
        except MalformedRequestError:
            continue
        if not parsed.ambiguous:
            continue
        settled = settle(tried.matcher, parsed, b"app")
        for method in (b"GET", b"POST"):
            match = choose(settled, method)
            if not isinstance(match, Parting):
                assert len(meanings(tried, mixed_readings(parsed.path), method)) == 1, (target, method)


@settings(max_examples=120)
@given(
    _RULES,
    st.lists(st.lists(st.sampled_from(["slash", "semicolon", "percent", "backslash"]), max_size=2), min_size=5),
    _TARGETS,
)
def test_no_rule_is_circumvented_by_what_another_one_opens(
    rules: list[dict[str, Any]], kept: list[list[str]], target: str
) -> None:
    """A reading that leads to a rule without the key leads to the rule that decides, as it does without any key."""
    tried = compiled([{**rule, "encoded": names} for rule, names in zip(rules, kept, strict=False)])
    parsed, entry = located(tried, target, b"GET")
    if parsed.ambiguous:
        for parser in PARSERS:
            segments = parser(parsed.path)
            other = None if segments is None else tried.matcher.find(segments or [b""], b"GET", b"app")
            if other is not None and not other.rule.encoded:
                assert other is entry, parser.__name__


@given(_TARGETS)
def test_below_one_rule_nothing_is_refused_that_nginx_forwards(target: str) -> None:
    """Except for line breaks and NUL, which these targets do not contain."""
    tried = compiled([{"path": "/**", "methods": []}])
    nginx = next(parser for parser in PARSERS if parser.__name__ == "nginx")
    if nginx(target.encode()) is not None:
        assert tried.locate(PolicyRequest("GET", target)).entry is tried.entries[0]
