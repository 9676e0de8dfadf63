"""Conflicts between parts of a configuration, each with its position."""

from __future__ import annotations

from pathlib import Path

import pytest

from enforcer.config.documents.document import parse
from enforcer.config.load import load_with_document
from enforcer.config.merged_document import MergedDocument
from enforcer.config.overrides import parse_override
from enforcer.config.validate.conflicts import conflicts, duplicates
from enforcer.errors import ConfigError
from enforcer.policy.rules import Rule

BASE = "upstream: {url: http://app}\nauthorization_servers: [{}]\n"
"""Two lines, so that the text of a test begins in line 3."""


def conflicts_of(text: str, *rules: Rule, base: str = BASE, complete: bool = True) -> list[tuple[int, str, str]]:
    """Return line, path and message of each conflict."""
    document = MergedDocument(parse("config.yaml", f"{base}{text}".encode()), ())
    problems = conflicts(document, dict(enumerate(rules)), complete=complete)
    return [(problem.line, problem.path, problem.message) for problem in problems]


def rule(name: str, path: str = "/a", host: str | None = None, methods: tuple[str, ...] = ()) -> Rule:
    return Rule(name=name, path=path, host=host, methods=methods, authenticated=True)


TWO = "rules:\n- name: x\n- name: y\n"


def test_a_configuration_without_conflicts_has_none() -> None:
    """Two rules with different paths, and one server."""
    assert conflicts_of(TWO, rule("a", "/a"), rule("b", "/b")) == []


@pytest.mark.parametrize(
    ("first", "second", "requests"),
    [
        (rule("a", "/a"), rule("b", "/a"), "all methods of /a"),
        (rule("a", "/a/{x}"), rule("b", "/a/{y}"), "all methods of /a/{y}"),
        (rule("a", "/a"), rule("b", "/%61"), "all methods of /%61"),
        (rule("a", "/a", "h.org"), rule("b", "/a", "H.org"), "all methods of /a"),
        (rule("a", methods=("GET", "PUT")), rule("b", methods=("PUT",)), "PUT of /a"),
        (rule("a", methods=("GET", "PUT")), rule("b", methods=("PUT", "GET")), "PUT of /a"),
    ],
)
def test_rules_for_the_same_requests_are_one_conflict(first: Rule, second: Rule, requests: str) -> None:
    """At the later rule, with the position of the earlier one; several methods are one conflict."""
    message = f'rule "b" matches {requests}, and so does rule "a" at config.yaml:4:3'
    assert conflicts_of(TWO, first, second) == [(5, "rules[1]", message)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (rule("a", "/a"), rule("b", "/a/")),
        (rule("a", "/a/{x}"), rule("b", "/a/**")),
        (rule("a", methods=("GET",)), rule("b", methods=("HEAD",))),
        (rule("a", host="h.org"), rule("b", host="i.org")),
        (rule("a", host="h.org"), rule("b")),
    ],
)
def test_a_more_specific_rule_is_not_a_conflict(first: Rule, second: Rule) -> None:
    """Exactly one of the two matches each request."""
    assert conflicts_of(TWO, first, second) == []


def test_the_rival_is_the_first_rule_that_matches_the_same() -> None:
    """And not another rule of the same path."""
    rules = rule("a", methods=("GET",)), rule("b", methods=("PUT",)), rule("c", methods=("PUT",))
    ((line, path, message),) = conflicts_of(f"{TWO}- name: z\n", *rules)
    assert (line, path) == (6, "rules[2]")
    assert message.endswith('rule "b" at config.yaml:5:3')


def test_each_path_of_a_rule_is_compared() -> None:
    """With those of other rules, and with the rule's own."""
    first = Rule(name="a", paths=("/a", "/b/{x}"), authenticated=True)
    rules = first, Rule(name="b", paths=("/c", "/b/{y}"), authenticated=True), rule("c", "/d")
    ((line, _, message),) = conflicts_of(f"{TWO}- name: z\n", *rules)
    assert (line, message) == (
        5, 'rule "b" matches all methods of /b/{y}, and so does rule "a" at config.yaml:4:3'
    )  # fmt: skip
    ((_, _, message),) = conflicts_of(TWO, Rule(name="a", paths=("/a", "/{x}", "/a"), authenticated=True))
    assert message == 'rule "a" has the path /a twice'


def test_a_second_use_of_a_name_is_a_conflict() -> None:
    """For rules and authorization servers; a server without a name is called `default`."""
    servers = "upstream: {url: http://app}\nauthorization_servers:\n- {}\n- {name: other}\n- {name: default}\n"
    assert conflicts_of(TWO, rule("a"), rule("a", "/b"), base=servers) == [
        (5, "authorization_servers[2]", 'duplicate name "default"; first used at config.yaml:3:3'),
        (8, "rules[1]", 'duplicate name "a"; first used at config.yaml:7:3'),
    ]


def test_names_are_compared_by_value() -> None:
    """Each further use is reported with the first one."""
    document = parse("file", b"a: 1\nb: 2\nc: 3\n")
    problems = list(duplicates(document, {("a",): "x", ("b",): "x", ("c",): "x"}))
    assert [(problem.line, problem.message) for problem in problems] == [
        (2, 'duplicate name "x"; first used at file:1:4'),
        (3, 'duplicate name "x"; first used at file:1:4'),
    ]


def test_an_unknown_authorization_server_has_a_suggestion() -> None:
    """In a rule, in a list of a rule, and in the defaults."""
    base = "upstream: {url: http://app}\nauthorization_servers: [{name: main}, {name: spare}]\n"
    text = """\
rule_defaults: {authorization_server: mian}
rules:
- {name: a, authorization_server: [main, spar]}
- {name: b, authorization_server: quite different}
"""
    assert sorted(conflicts_of(text, rule("a"), rule("b", "/b"), base=base)) == [
        (3, "rule_defaults.authorization_server", 'no authorization server is called "mian"; did you mean "main"?'),
        (5, "rules[0].authorization_server[1]", 'no authorization server is called "spar"; did you mean "spare"?'),
        (6, "rules[1].authorization_server", 'no authorization server is called "quite different"; known: main, spare'),
    ]


@pytest.mark.parametrize("section", ["upstreams", "scope_sets"])
@pytest.mark.parametrize("name", ["a b", "-a", "a-", "ä", "x" * 101])
def test_a_name_of_an_upstream_or_a_scope_set_is_restricted(section: str, name: str) -> None:
    """It is a metric label, or follows a `$`."""
    value = "{url: http://x}" if section == "upstreams" else "[x]"
    problems = conflicts_of(f'{section}: {{"{name}": {value}}}\n{TWO}', rule("a", "/a"), rule("b", "/b"))
    assert [(line, path) for line, path, _ in problems] == [(3, section)]
    assert "is not a valid name: use letters, digits, dots, hyphens and _" in problems[0][2]


def test_scope_sets_must_have_valid_scopes() -> None:
    """An empty set in `scopes` would silently require nothing."""
    assert conflicts_of(f'scope_sets: {{a: [], b: [x, "y z"]}}\n{TWO}', rule("a", "/a"), rule("b", "/b")) == [
        (3, "scope_sets.a", "expected at least one, found an empty list"),
        (3, "scope_sets.b[1]", '"y z" is not a valid scope: no spaces, quotes or backslashes'),
    ]


def test_an_upstream_is_required() -> None:
    """The default one, or one for every rule."""
    servers = "authorization_servers: [{}]\n"
    ((line, path, message),) = conflicts_of(TWO, rule("a", "/a"), rule("b", "/b"), base=servers)
    assert (line, path) == (1, "")
    assert message.startswith('missing key "upstream": ')
    named = Rule(name="a", path="/a", authenticated=True, upstream="shop")
    text = f"upstreams: {{shop: {{url: http://x}}}}\n{TWO}"
    assert conflicts_of(text, named, rule("b", "/b"), base=servers) == [
        (5, "rules[1]", "names no upstream, and there is no default `upstream`; known: shop")
    ]
    assert conflicts_of(text, named, base=servers) == []
    assert conflicts_of(f"mode: report\n{text}", named, base=servers) == [
        (2, "mode", "this mode forwards requests that match no rule, which needs `upstream`")
    ]


def test_at_least_one_rule_is_required_except_in_report_mode() -> None:
    """Not reported if a rule file could not be read: it may have rules."""
    ((line, path, message),) = conflicts_of("")
    assert (line, path) == (1, "")
    assert message.startswith('missing key "rules": ')
    assert conflicts_of("rules: []\n") == [(3, "rules", "expected at least one, found an empty list")]
    assert conflicts_of("", complete=False) == []
    assert conflicts_of("mode: report\n") == []


def test_report_mode_can_be_forbidden() -> None:
    """For the whole configuration, in defaults and in rules; the message names the setting, and its place."""
    modes = (
        "mode: report\nrule_defaults: {mode: report}\nrules:\n- {name: a, mode: report}\n- {name: b, mode: enforce}\n"
    )
    assert conflicts_of(modes) == []
    message = "report mode is forbidden by `allow_report_mode: false`, in line 8"
    assert conflicts_of(f"{modes}allow_report_mode: false\n") == [
        (3, "mode", message),
        (4, "rule_defaults.mode", message),
        (6, "rules[0].mode", message),
    ]
    assert conflicts_of("rules: [{name: a}]\nallow_report_mode: false\n") == []


def test_an_override_forbids_report_mode_whatever_the_file_contains(tmp_path: Path) -> None:
    """The sidecar's command line, which a policy cannot change."""
    file = tmp_path / "config.yaml"
    file.write_text(
        "mode: report\nallow_report_mode: true\nupstream: {url: http://app}\n"
        "authorization_servers: [{introspection_endpoint: http://auth, client_id: a, client_secret: {env: A}}]\n"
    )
    with pytest.raises(ConfigError) as refused:
        load_with_document(file, None, [parse_override("allow_report_mode=false")])
    (problem,) = refused.value.problems
    assert (problem.line, problem.path) == (1, "mode")
    assert problem.message.endswith("on the command line, which a cluster's injector sets for sidecars")


@pytest.mark.parametrize("servers", ["7", "[7, null]", "[{name: 7}]", "{}"])
def test_invalid_values_are_not_reported_twice(servers: str) -> None:
    """Their types are wrong, which validation reports; they raise no exception here."""
    text = "scope_sets: [x]\nupstreams: 7\nrules:\n- {authorization_server: 7, upstream: [7]}\n"
    assert conflicts_of(text, base=f"upstream: {{url: http://app}}\nauthorization_servers: {servers}\n") == []


def test_a_claim_with_a_fraction_of_zero_is_an_error() -> None:
    """YAML reads 1.0 as a number, which equals neither the text "1.0" nor "1"."""
    text = "rules:\n- name: x\n  claims: {acr: 1.0, level: [1, 2.0], age: 1.5}\n"
    assert conflicts_of(text, rule("x")) == [
        (5, "rules[0].claims.acr", '1.0 is a number with a fraction; write it in quotes: "1.0"'),
        (5, "rules[0].claims.level[1]", '2.0 is a number with a fraction; write it in quotes: "2.0"'),
    ]


@pytest.mark.parametrize(
    ("forwarding", "condition", "name"),
    [
        ("", "headers: {X-Auth-Subject: a}", "X-Auth-Subject"),
        ("forwarding: {identity: {X-User: sub}}\n", 'scopes: ["a:{#x-user}"]', "x-user"),
        ("forwarding: {identity: {X-User: sub}}\n", "any_of: [{headers: {X-User: a}}]", "X-User"),
    ],
)
def test_no_condition_reads_an_identity_field(forwarding: str, condition: str, name: str, tmp_path: Path) -> None:
    """The enforcer removes it from the request, so that the condition would never be met."""
    path = tmp_path / "config.yaml"
    base = "upstream: {url: http://app}\nauthorization_servers: [{issuer: https://as.example}]\n"
    rules = f"rules: [{{name: a, path: /a, authenticated: true, {condition}}}]\n"
    path.write_text(f"{base}{forwarding}{rules}", "utf-8")
    with pytest.raises(ConfigError, match=f"no condition can read {name}: `forwarding.identity` sets it"):
        load_with_document(path, None)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("scope_implies: {admin: [$editors]}", "scope_implies.admin[0]"),
        ("scope_implies: {admin: ['a:{x}']}", "scope_implies.admin[0]"),
        ("scope_implies: {'a:{x}': [read]}", "scope_implies"),
    ],
)
def test_scopes_that_include_others_are_written_literally(text: str, path: str) -> None:
    """A set or a placeholder would silently include nothing."""
    refused = [(line, where) for line, where, message in conflicts_of(text) if "neither scope sets nor" in message]
    assert refused == [(3, path)]
