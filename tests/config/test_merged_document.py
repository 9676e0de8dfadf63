"""The merged document: defaults and scope sets in rules, and the position of each value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from enforcer.config.load import Loaded, load_with_document
from enforcer.errors import ConfigError
from enforcer.policy.rules import Rule

Loads = Callable[..., Loaded]

SETS = """
scope_sets:
  editors: [pages.read, pages.write]
  readers: [pages.read]
"""


def rules(loaded: Loaded) -> dict[str, Rule]:
    """Return the rules by name, without the first one, which is in every configuration here."""
    return {rule.name: rule for rule in loaded.config.rules[1:]}


def test_a_default_applies_to_keys_that_a_rule_does_not_set(loads: Loads) -> None:
    """A default is replaced, not merged with the rule's value."""
    by_name = rules(
        loads(
            """
  - {name: own, path: "/own", scopes: [x], methods: [POST], mode: enforce}
  - {name: none, path: "/none", scopes: [], authenticated: true}
  - {name: taken, path: "/taken"}
rule_defaults: {scopes: [a, b], methods: [GET], audience: [app], max_answer_age: 5s, on_outage: stale, mode: report}
"""
        )
    )
    assert {name: (rule.scopes, rule.methods, rule.mode) for name, rule in by_name.items()} == {
        "own": (("x",), ("POST",), "enforce"),
        "none": ((), ("GET",), "report"),
        "taken": (("a", "b"), ("GET",), "report"),
    }
    assert {(rule.audience, rule.max_answer_age, rule.on_outage) for rule in by_name.values()} == {
        (("app",), 5.0, "stale")
    }


@pytest.mark.parametrize("key", ["query", "headers"])
def test_conditions_on_the_request_are_merged_with_the_defaults_by_name(loads: Loads, key: str) -> None:
    """A rule with one more keeps the check of the gateway, also a public one; null takes a default away."""
    by_name = rules(
        loads(
            f"""
  - {{name: more, path: /more, {key}: {{X-B: b}}}}
  - {{name: other, path: /other, {key}: {{X-Gateway: no}}}}
  - {{name: without, path: /without, {key}: {{X-Gateway: null}}}}
  - {{name: open, path: /open, public: true, {key}: {{X-B: b}}}}
  - {{name: nobody, path: /nobody, nobody: true}}
rule_defaults: {{authenticated: true, {key}: {{X-Gateway: yes}}}}
""".replace("no}", '"no"}').replace("yes}", '"yes"}')
        )
    )
    assert {name: dict(getattr(rule, key)) for name, rule in by_name.items()} == {
        "more": {"X-Gateway": "yes", "X-B": "b"},
        "other": {"X-Gateway": "no"},
        "without": {},
        "open": {"X-Gateway": "yes", "X-B": "b"},
        "nobody": {},
    }


def test_claims_are_merged_with_the_defaults_by_name(loads: Loads) -> None:
    """A rule with one more claim keeps the check of the tenant; null takes a default away."""
    by_name = rules(
        loads(
            """
  - {name: more, path: /more, claims: {role: admin}}
  - {name: other, path: /other, claims: {tenant: b}}
  - {name: without, path: /without, scopes: [s], claims: {tenant: null}}
  - {name: open, path: /open, public: true}
rule_defaults: {claims: {tenant: a}}
"""
        )
    )
    assert {name: dict(rule.claims) for name, rule in by_name.items()} == {
        "more": {"tenant": "a", "role": "admin"},
        "other": {"tenant": "b"},
        "without": {},
        "open": {},
    }


def test_a_public_rule_ignores_defaults_about_tokens(loads: Loads) -> None:
    """Defaults such as host, methods and upstream do apply."""
    by_name = rules(
        loads(
            """
  - {name: open, path: "/open", public: true}
  - {name: shut, path: "/shut", public: false}
rule_defaults:
  scopes: [a]
  any_scope: [b]
  claims: {c: d}
  audience: [e]
  issuer: [f]
  client_ids: [g]
  authenticated: true
  max_answer_age: 5s
  on_outage: stale
  host: "*.example.org"
  methods: [GET]
"""
        )
    )
    assert by_name["open"] == Rule(name="open", path="/open", public=True, host="*.example.org", methods=("GET",))
    assert (by_name["shut"].scopes, by_name["shut"].client_ids, by_name["shut"].on_outage) == (("a",), ("g",), "stale")


@pytest.mark.parametrize(
    ("written", "scopes"),
    [
        ("scopes: [$editors]", ("pages.read", "pages.write")),
        ("scopes: [a, $editors, b]", ("a", "pages.read", "b", "pages.write")),
        ("scopes: [$readers, $editors]", ("pages.read", "pages.read", "pages.write")),
        ("scopes: [$editors, pages.write]", ("pages.read", "pages.write")),
        ("scopes: [pages.write, pages.read]", ("pages.write", "pages.read")),
    ],
)
def test_a_scope_set_is_replaced_by_its_scopes(loads: Loads, written: str, scopes: tuple[str, ...]) -> None:
    """In `scopes`, in `any_scope`, among other scopes, and in defaults."""
    loaded = loads(f"  - {{name: r, path: /r, {written}}}\n{SETS}")
    assert rules(loaded)["r"].scopes == tuple(scopes)
    loaded = loads(f"  - {{name: r, path: /r, {written.replace('scopes', 'any_scope')}}}\n{SETS}")
    assert rules(loaded)["r"].any_scope == tuple(scopes)
    loaded = loads(f"  - {{name: r, path: /r}}\n{SETS}rule_defaults: {{{written}}}\n")
    assert rules(loaded)["r"].scopes == tuple(scopes)


def test_a_scope_that_looks_like_a_set_can_be_in_a_set(loads: Loads) -> None:
    """Within a set, every text is a scope."""
    loaded = loads("  - {name: r, path: /r, scopes: [$odd]}\nscope_sets: {odd: [$editors]}\n")
    assert rules(loaded)["r"].scopes == ("$editors",)


def test_merged_values_have_positions(tmp_path: Path) -> None:
    """A rule's own value has its own position, and a default the rule's."""
    (tmp_path / "more.yaml").write_text("rules:\n  - name: b\n    path: /b\n    methods: [GET]\n")
    main = tmp_path / "config.yaml"
    main.write_text(
        """\
upstream: {url: http://127.0.0.1:8090}
authorization_servers:
  - {introspection_endpoint: http://127.0.0.1:8085/x, client_id: e, client_secret: {env: S}}
rule_files: [more.yaml]
rule_defaults: {scopes: [$s], host: a.org}
scope_sets: {s: [a, b]}
rules:
  - {name: a, path: /a}
"""
    )
    loaded, document = load_with_document(main, None)
    assert [(rule.name, rule.scopes, rule.host) for rule in loaded.config.rules] == [
        ("a", ("a", "b"), "a.org"),
        ("b", ("a", "b"), "a.org"),
    ]
    places: dict[tuple[Any, ...], tuple[str, int, int]] = {
        ("rules", 0): ("config.yaml", 8, 5),
        ("rules", 0, "path"): ("config.yaml", 8, 21),
        ("rules", 0, "scopes", 1): ("config.yaml", 8, 5),
        ("rules", 1): ("more.yaml", 2, 5),
        ("rules", 1, "methods", 0): ("more.yaml", 4, 15),
        ("rules", 1, "host"): ("more.yaml", 2, 5),
        ("rule_defaults", "scopes", 0): ("config.yaml", 5, 26),
    }
    for path, (file, line, column) in places.items():
        assert document.where(path) == (str(tmp_path / file), line, column)
    problem = document.problem(("rules", 1, "host"), "is wrong")
    assert (problem.path, problem.message) == ("rules[0]", "host, of rule_defaults: is wrong")
    assert document.used_sets == {"s"}
    assert document.own(1) == {"name": "b", "path": "/b", "methods": ["GET"]}


TEAM = """\
rule_defaults:
  host: team.example.org
  claims: {team: a, tenant: null}
  scopes: [$s]
rules:
  - {name: plain, path: /plain}
  - {name: own, path: /own, host: own.example.org, claims: {team: null}, scopes: [x]}
  - {name: open, path: /open, public: true}
"""


def test_a_rule_file_has_defaults_for_its_own_rules(loads: Loads, tmp_path: Path) -> None:
    """They precede those of the configuration, and do not reach the rules of other files."""
    (tmp_path / "team.yaml").write_text(TEAM)
    (tmp_path / "other.yaml").write_text("rules:\n  - {name: other, path: /other}\n")
    general = "rule_defaults: {audience: [app], host: a.org, claims: {tenant: t, role: r}, scopes: [general]}\n"
    by_name = rules(loads(f"rule_files: [team.yaml, other.yaml]\nscope_sets: {{s: [b, c]}}\n{general}"))
    assert {
        name: (rule.host, rule.scopes, dict(rule.claims), rule.audience)
        for name, rule in by_name.items()
        if name != "all"
    } == {
        "plain": ("team.example.org", ("b", "c"), {"team": "a", "role": "r"}, ("app",)),
        "own": ("own.example.org", ("x",), {"role": "r"}, ("app",)),
        "open": ("team.example.org", (), {}, ()),
        "other": ("a.org", ("general",), {"tenant": "t", "role": "r"}, ("app",)),
    }


@pytest.mark.parametrize(
    ("defaults", "errors"),
    [
        ("{host: 5}", ["2:23: rule_defaults.host: expected text, found 5"]),
        ("{hots: a}", ['2:17: rule_defaults: unknown key "hots"; did you mean "host"?']),
        ("{path: /a}", ['2:17: rule_defaults: unknown key "path"']),
        ("{methods: [get]}", ["2:27: rule_defaults.methods[0]: 'get' is not a method in capital letters"]),
        ("{scopes: [$none]}", ['2:26: rule_defaults.scopes[0]: no scope set is called "none"']),
        ("text", ['2:16: rule_defaults: expected a mapping, found "text"']),
        ("{claims: {x: null}}", ["rule_defaults.claims.x: expected text"]),
        ("{host: 5, methods: [get]}", ["rule_defaults.host: expected text", "rule_defaults.methods[0]: 'get' is not"]),
        ("{upstream: none}", ['rule_defaults.upstream: no upstream is called "none"']),
        ("{token_from: {}}", ["2:17: rule_defaults.token_from: names no place"]),
        ("{token_from: {cookie: a b}}", ["2:38: rule_defaults.token_from.cookie: expected letters"]),
        (
            "{token_from: {cookie: 5}, host: 5}",
            ["rule_defaults.token_from.cookie: exp", "rule_defaults.host: expected"],
        ),
    ],
)
def test_an_error_in_the_defaults_of_a_rule_file_is_reported_once(
    loads: Loads, tmp_path: Path, defaults: str, errors: list[str]
) -> None:
    """At its place in that file, and not for each of its rules."""
    rules_of_file = "".join(f"  - {{name: r{number}, path: /r{number}, scopes: [a]}}\n" for number in range(3))
    (tmp_path / "team.yaml").write_text(f"\nrule_defaults: {defaults}\nrules:\n{rules_of_file}")
    with pytest.raises(ConfigError) as caught:
        loads("rule_files: [team.yaml]\nupstreams: {more: {url: http://127.0.0.1:1}}\n")
    reported = str(caught.value).splitlines()
    assert len(reported) == len(errors), reported
    assert all("team.yaml:2:" in line and error in line for line, error in zip(reported, errors, strict=True)), reported


@pytest.mark.parametrize("written", ["{}", "{cookie: a b}", "{header: a b}", "{prefix: a}", "{cross_site: allow}", "5"])
def test_an_error_in_a_section_of_the_defaults_is_reported_once(loads: Loads, written: str) -> None:
    """At its place, and for no rule that has the defaults."""
    with pytest.raises(ConfigError) as caught:
        loads(f"  - {{name: r, path: /r, scopes: [a]}}\nrule_defaults: {{token_from: {written}, scopes: [b]}}\n")
    assert {problem.path.rpartition("token_from")[0] for problem in caught.value.problems} == {"rule_defaults."}
