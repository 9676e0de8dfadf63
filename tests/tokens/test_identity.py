"""Identity fields: different for all tokens that a rule can tell apart, and read back by the documented decoder."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enforcer.policy.request_view import RequestView
from enforcer.policy.requirement import Requirement
from enforcer.policy.rules import Rule
from enforcer.policy.templates import Path as RulePath
from enforcer.tokens.claims import ActiveToken, read_claims
from enforcer.tokens.documents.strict_json import MAX_DEPTH
from enforcer.tokens.identity import identity_value
from enforcer.tokens.introspection.response import parse

_PAGE = (Path(__file__).parents[2] / "docs" / "identity-fields.md").read_text()

SPELLINGS: list[Any] = [
    ("alice", b"alice"),
    ("team admin", b"team admin"),
    (["team", "admin"], b"team,admin"),
    (["team admin"], b"team admin"),
    (["a,b", "c"], b"a%2Cb,c"),
    ("a,b,c", b"a%2Cb%2Cc"),
    (["a", "b,c"], b"a,b%2Cc"),
    (["", ""], b","),
    ("", b""),
    ([], None),
    (None, None),
    ("null", b"null"),
    ([None], b"json:[null]"),
    ("true", b"true"),
    (True, b"json:true"),
    (False, b"json:false"),
    ("1", b"1"),
    (1, b"json:1"),
    (1.0, b"json:1.0"),
    (1.5, b"json:1.5"),
    (10**30, b"json:1" + b"0" * 30),
    (["a", 1], b'json:["a",1]'),
    (["a", "1"], b"a,1"),
    (["a", ["b"]], b'json:["a",["b"]]'),
    ("json:1", b"%6Ason:1"),
    ("%6Ason:1", b"%256Ason:1"),
    (["json:1", "json:2"], b"%6Ason:1,json:2"),
    ({"b": 1, "a": ["é", "\x7f"]}, b'json:{"a":["\\u00e9","\\u007f"],"b":1}'),
    ({}, b"json:{}"),
    ("{}", b"{}"),
    ('["a"]', b'["a"]'),
    (" a ", b"%20a%20"),
    ([" a", "b "], b"%20a,b%20"),
    ("Zoë\n", b"Zo%C3%AB%0A"),
    pytest.param("a\r\nX-Auth-Scope: admin", b"a%0D%0AX-Auth-Scope: admin", id="CVE-2020-7695 uvicorn"),
    ("\ud800", b"%ED%A0%80"),
    ("x" * 60_000, b"x" * 60_000),
]


@pytest.mark.parametrize(("value", "written"), SPELLINGS)
def test_each_kind_of_value_has_a_spelling_of_its_own(value: Any, written: bytes | None) -> None:
    """A simple string or list looks as an app expects it."""
    assert identity_value(read_claims({"c": value}), "c") == written


def test_an_absent_claim_makes_no_field() -> None:
    """CVE-2026-30851 Caddy."""
    assert identity_value(read_claims({}), "c") is None


@pytest.mark.parametrize(
    ("members", "written"),
    [
        ({"scope": "read write"}, b"read write"),
        ({"scope": "write  read write "}, b"read write"),
        ({"scope": ["write", "read"]}, b"read write"),
        ({"scope": ["read admin"]}, None),
        ({"scope": ["read", "read admin"]}, b"read"),
        ({"scope": 'a"b read'}, b"read"),
        ({"scope": "100%,a"}, b"100%25,a"),
        ({"scope": "json:1"}, b"json:1"),
        ({"scope": ""}, None),
        ({"scope": []}, None),
        ({}, None),
    ],
)
def test_the_scopes_are_those_that_rules_are_judged_by(members: dict[str, Any], written: bytes | None) -> None:
    """`["read admin"]` is refused by a rule that requires `admin`, and must not look like both scopes."""
    assert identity_value(read_claims(members), "scope") == written


def test_a_claim_nested_as_deep_as_can_be_read_is_written() -> None:
    """Claims that were read without an error are written without one."""
    depth = MAX_DEPTH - 1
    answer = parse(b'{"active":true,"c":%b}' % (b"[" * depth + b"]" * depth))
    assert isinstance(answer, ActiveToken)
    assert identity_value(answer, "c") == b"json:" + b"[" * depth + b"]" * depth


def test_the_order_of_members_makes_no_difference() -> None:
    """No rule sees it, and apps may compare the text."""
    one, other = ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1})
    assert identity_value(read_claims({"c": one}), "c") == identity_value(read_claims({"c": other}), "c")


_SCALARS = (
    st.sampled_from(["", "a", "b", "a b", "a,b", ",", "1", "true", "null", "json:1", "json:", "%2C", "%", '["a","b"]'])
    | st.none()
    | st.booleans()
    | st.integers(-1, 2)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3)
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "x"]), inner, max_size=2),
    max_leaves=5,
)


def _scalars(value: Any) -> list[Any]:
    if isinstance(value, list | dict):
        return [leaf for member in (value.values() if isinstance(value, dict) else value) for leaf in _scalars(member)]
    return [value] if isinstance(value, str | int | bool) else []


def _holds(rule: Rule, token: ActiveToken, segment: bytes) -> bool:
    return Requirement(rule, RulePath.parse(rule.templates[0])).meets_claims(token, RequestView([segment]))


def _rules(values: list[Any]) -> list[tuple[Rule, bytes]]:
    """Return every rule over claim `c` that could tell values with these scalars apart, each with a path segment."""
    rules = []
    for name in ("c", "c.a", "c.b", "c.a.a", "c.a.b", "c.x"):
        for value in values:
            text = str(value).encode("utf-8", "surrogatepass")
            rules.append((Rule(name="r", path="/{id}", claims={name: (value,)}), b""))
            rules.append((Rule(name="r", path="/{id}", claims={name: "{id}"}), text))
    return rules


@given(_VALUES, _VALUES)
@example("a b", ["a", "b"])
@example("true", True)
@example("1", 1)
@example([], [""])
def test_values_that_a_rule_can_tell_apart_have_different_fields(first: Any, second: Any) -> None:
    """No rule allows only one of two tokens that look the same to the app."""
    tokens = [read_claims({"c": value}) for value in (first, second)]
    if identity_value(tokens[0], "c") == identity_value(tokens[1], "c"):
        for rule, segment in _rules([*_scalars(first), *_scalars(second)]):
            assert _holds(rule, tokens[0], segment) == _holds(rule, tokens[1], segment), rule.claims


_SCOPE_VALUES = st.one_of(
    st.none(),
    st.lists(st.sampled_from(["a", "b", "a b", "", 'a"', "%", "json:", ","]), max_size=3),
    st.lists(st.sampled_from(["a", "b", "", 'a"', "%", "json:", ","]), max_size=3).map(" ".join),
)


@given(_SCOPE_VALUES, _SCOPE_VALUES)
def test_scopes_that_a_rule_can_tell_apart_have_different_fields(first: Any, second: Any) -> None:
    """Whichever way the server sends them."""
    one, other = (read_claims({"scope": value}) for value in (first, second))
    assert (identity_value(one, "scope") == identity_value(other, "scope")) == (one.scopes == other.scopes)


def _decoder() -> Callable[[str], Any]:
    code = re.search(r"```python\n(.*?)```", _PAGE, re.DOTALL)
    assert code is not None
    namespace: dict[str, Any] = {}
    exec(code[1], namespace)
    decoder: Callable[[str], Any] = namespace["claim"]
    return decoder


@given(_VALUES)
def test_the_documented_decoder_reads_every_value(value: Any) -> None:
    """Except that a list with one string reads as the string, which no rule tells apart from it."""
    written = identity_value(read_claims({"c": value}), "c")
    if written is None:
        assert value in (None, [])
        return
    assert re.fullmatch(rb"(?:[!-~](?:[ -~]*[!-~])?)?", written)
    single = isinstance(value, list) and len(value) == 1 and isinstance(value[0], str)
    decoded = _decoder()(written.decode())
    assert json.dumps(decoded, sort_keys=True) == json.dumps(value[0] if single else value, sort_keys=True)


def test_the_page_shows_the_spellings_that_are_written() -> None:
    """Each row of its table."""
    rows = re.findall(r"^\| `([\[{\"0-9t].*)` \| `(.*)` \|$", _PAGE, re.MULTILINE)
    assert len(rows) == 13
    for claim, written in rows:
        assert identity_value(read_claims({"c": json.loads(claim)}), "c") == written.encode()
