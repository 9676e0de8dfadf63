"""What is put into rules: defaults, and scope sets; and where each part of them stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from enforcer.config.load import Loaded, load_with_document
from enforcer.policy.rules import Rule

Loads = Callable[..., Loaded]

SETS = """
scope_sets:
  editors: [pages.read, pages.write]
  readers: [pages.read]
"""


def rules(loaded: Loaded) -> dict[str, Rule]:
    """Return the rules but the first, which is the smallest configuration's."""
    return {rule.name: rule for rule in loaded.config.rules[1:]}


def test_a_rule_says_for_itself_or_takes_the_default(loads: Loads) -> None:
    """Key by key: nothing of a default is added to what a rule says."""
    found = rules(
        loads(
            """
  - {name: own, path: "/own", scopes: [x], methods: [POST], mode: enforce}
  - {name: none, path: "/none", scopes: [], authenticated: true}
  - {name: taken, path: "/taken"}
rule_defaults: {scopes: [a, b], methods: [GET], audience: [app], max_answer_age: 5s, on_outage: stale, mode: report}
"""
        )
    )
    assert {name: (rule.scopes, rule.methods, rule.mode) for name, rule in found.items()} == {
        "own": (("x",), ("POST",), "enforce"),
        "none": ((), ("GET",), "report"),
        "taken": (("a", "b"), ("GET",), "report"),
    }
    assert {(rule.audience, rule.max_answer_age, rule.on_outage) for rule in found.values()} == {
        (("app",), 5.0, "stale")
    }


def test_a_public_rule_takes_no_default_that_speaks_of_a_token(loads: Loads) -> None:
    """It has none; where it leads and what it is for it takes."""
    found = rules(
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
""",
        )
    )
    assert found["open"] == Rule(name="open", path="/open", public=True, host="*.example.org", methods=("GET",))
    assert (found["shut"].scopes, found["shut"].client_ids, found["shut"].on_outage) == (("a",), ("g",), "stale")


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
def test_a_set_stands_for_its_scopes(loads: Loads, written: str, scopes: tuple[str, ...]) -> None:
    """In either key, among others, and in defaults."""
    loaded = loads(f"  - {{name: r, path: /r, {written}}}\n{SETS}")
    assert rules(loaded)["r"].scopes == tuple(scopes)
    loaded = loads(f"  - {{name: r, path: /r, {written.replace('scopes', 'any_scope')}}}\n{SETS}")
    assert rules(loaded)["r"].any_scope == tuple(scopes)
    loaded = loads(f"  - {{name: r, path: /r}}\n{SETS}rule_defaults: {{{written}}}\n")
    assert rules(loaded)["r"].scopes == tuple(scopes)


def test_a_scope_that_begins_as_a_sets_name_can_be_in_a_set(loads: Loads) -> None:
    """In a set, every text is a scope."""
    loaded = loads("  - {name: r, path: /r, scopes: [$odd]}\nscope_sets: {odd: [$editors]}\n")
    assert rules(loaded)["r"].scopes == ("$editors",)


def test_what_is_put_in_is_told_of_where_it_stands(tmp_path: Path) -> None:
    """A value of the rule's own at its place, one of the defaults at the rule."""
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
    loaded, whole = load_with_document(main, None)
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
        assert whole.where(path) == (str(tmp_path / file), line, column)
    problem = whole.problem(("rules", 1, "host"), "is wrong")
    assert (problem.path, problem.message) == ("rules[0]", "host, of rule_defaults: is wrong")
    assert whole.used_sets == {"s"}
    assert whole.own(1) == {"name": "b", "path": "/b", "methods": ["GET"]}
