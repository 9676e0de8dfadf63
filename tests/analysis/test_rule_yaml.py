"""Proposed rules as YAML."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.analysis.rule_yaml import Proposal, comment, unique_name, write
from enforcer.config.documents.document import parse
from enforcer.policy.rules import Rule


def test_rules_are_written_for_a_person_to_edit() -> None:
    """With comments above each rule."""
    proposals = [
        Proposal(
            Rule(name="read", path="/a/{id}/**", methods=("GET", "HEAD"), scopes=("a.read", "b:c")), ("why", "not")
        ),
        Proposal(Rule(name="on", path="/", any_scope=("x",))),
        Proposal(Rule(name="#1: x", path="/b", authenticated=True)),
        Proposal(Rule(name="own", path="/u/{id}", host="a.org", claims={"sub": "{id}", "act": {"present": False}})),
        Proposal(Rule(name="é", path="/c%20d", public=True)),
    ]
    assert (
        write(proposals)
        == """\
rules:
  # why
  # not
  - name: read
    path: /a/{id}/**
    methods: [GET, HEAD]
    scopes: [a.read, "b:c"]

  - name: "on"
    path: /
    any_scope: [x]

  - name: "#1: x"
    path: /b
    authenticated: true

  - name: own
    path: /u/{id}
    host: a.org
    claims: {sub: "{id}", act: {"present": false}}

  - name: "é"
    path: "/c%20d"
    public: true
"""
    )


@pytest.mark.parametrize(
    "more", [{"query": {"q": "1"}}, {"acr": ("gold",)}, {"mode": "report"}, {"max_answer_age": 5.0}, {"upstream": "x"}]
)
def test_a_rule_is_written_whole_or_not_at_all(more: dict[str, Any]) -> None:
    """Without a condition that cannot be written, it would allow more."""
    with pytest.raises(ValueError, match=f"rule r: {next(iter(more))} cannot be written"):
        write([Proposal(Rule(name="r", path="/a", scopes=("s",), **more))])
    with pytest.raises(ValueError, match="nobody cannot be written"):
        write([Proposal(Rule(name="r", path="/a", nobody=True))])


def test_no_rules_are_an_empty_list() -> None:
    """The output is valid YAML without rules, too."""
    assert write([]) == "rules: []\n"


names = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=30).filter(
    lambda name: name.isprintable() and not name.startswith("_")
)
scopes = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='"\\{}'), min_size=1, max_size=9
)


@given(names, st.lists(scopes, min_size=1, max_size=3), st.text(max_size=30))
def test_written_rules_are_read_back_unchanged(name: str, needed: list[str], comment: str) -> None:
    """By the configuration's parser, whatever names, scopes and comments contain."""
    rule = Rule(name=name, path="/a/{x}/**", methods=("GET",), scopes=tuple(needed))
    read: Any = parse("rules.yaml", write([Proposal(rule, (comment,))]).encode()).values
    assert read == {"rules": [{"name": name, "path": "/a/{x}/**", "methods": ["GET"], "scopes": needed}]}


def test_a_comment_stays_on_its_line() -> None:
    """Line breaks in it are replaced."""
    assert comment(["a", "", "b\nc\x1b"]) == ["# a", "#", "# b\\nc\\x1b"]


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("a", "a"),
        ("taken", "taken (3)"),
        ("_none", "none"),
        ("  ", "rule"),
        ("a\nb", "a?b"),
        ("x" * 101, "x" * 99 + "…"),
        ("y" * 100, "y" * 96 + " (2)"),
    ],
)
def test_a_unique_name_is_valid_and_not_taken(wanted: str, name: str) -> None:
    """As similar to the wanted name as possible."""
    taken = {"taken", "taken (2)", "y" * 100}
    assert unique_name(wanted, taken) == name
    assert name in taken
    assert Rule(name=name, path="/", public=True).name == name
