"""Aliases are written out if their value is no longer that of their anchor, and restored if it is again."""

from __future__ import annotations

from typing import Any

import pytest

from enforcer.yamltext.documents import value_of
from enforcer.yamltext.editor import rewritten


@pytest.mark.parametrize(
    ("text", "new", "result"),
    [
        pytest.param(
            "a: &x\n  b: 1\nc: *x\n",
            {"a": {"b": 1}, "c": {"b": 1, "d": 2}},
            "a: &x\n  b: 1\nc: # *x\n  b: 1\n  d: 2\n",
            id="the alias changes",
        ),
        pytest.param(
            "a: &x\n  b: 1\nc: *x # same\n",
            {"a": {"b": 1, "d": 2}, "c": {"b": 1}},
            "a: &x\n  b: 1\n  d: 2\nc: # *x # same\n  b: 1\n",
            id="the anchor changes",
        ),
        pytest.param(
            "a: &x\n  - b\nc: *x\nd: *x",
            {"a": ["b"], "c": ["e"], "d": ["b"]},
            "a: &x\n  - b\nc: # *x\n  - e\nd: *x",
            id="one alias of two",
        ),
        pytest.param(
            "- &x {a: 1}\n- b: *x\n  c: &y\n    d: 1\n- e: *y\r\n",
            [{"a": 1}, {"b": {"a": 1}, "c": {"d": 1}}, {"e": {"d": 2}}],
            "- &x {a: 1}\n- b: *x\n  c: &y\n    d: 1\n- e: # *y\r\n    d: 2\r\n",
            id="in a list, with the line break of the document",
        ),
        pytest.param(
            "a: &x http\nb: {c: 1}\nd: *x # same\n",
            {"a": "http", "b": {"c": 1}, "d": 8080},
            "a: &x http\nb: {c: 1}\nd: 8080 # *x # same\n",
            id="a scalar",
        ),
        pytest.param(
            "ports:\n  - name: &x http\nprobe: *x\nother: *x",
            {"ports": [{"name": "app-http"}], "probe": "http", "other": "app-http"},
            "ports:\n  - name: &x app-http\nprobe: http # *x\nother: *x",
            id="the anchor of a scalar changes",
        ),
        pytest.param(
            "a: &x 'b c'\nlist:\n- *x\n- *x\n",
            {"a": "b c", "list": ["b c", "d"]},
            "a: &x 'b c'\nlist:\n- *x\n- \"d\" # *x\n",
            id="a scalar in a list",
        ),
        pytest.param(
            "a: &x\n  b: 1\nlist: &l\n  - *x\n  - *x # same\nc: *l\n",
            {"a": {"b": 1}, "list": [{"b": 1}, {"b": 1, "c": 2}], "c": [{"b": 1}, {"b": 1, "c": 2}]},
            "a: &x\n  b: 1\nlist: &l\n  - *x\n  - # *x # same\n    b: 1\n    c: 2\nc: *l\n",
            id="a mapping in a list",
        ),
    ],
)
def test_an_alias_is_written_out_and_restored(text: str, new: Any, result: str) -> None:
    """Its name stays as a comment; the restored text is the same to the byte."""
    assert rewritten(text, value_of(text), new) == result
    assert rewritten(result, new, value_of(text)) == text


def test_a_comment_of_a_person_stays() -> None:
    """Only a value that was written out becomes an alias again."""
    text = "a: &x\n  b: 1\nc: # *x\n  b: 1\nd: 1\n"
    assert rewritten(text, value_of(text), {"a": {"b": 1}, "c": {"b": 1}, "d": 2}) == text.replace("d: 1", "d: 2")


def test_aliases_of_aliases_are_not_expanded() -> None:
    """A few lines could become millions."""
    lines = ["a0: &a0 [1, 1]", *(f"a{depth}: &a{depth} [*a{depth - 1}, *a{depth - 1}]" for depth in range(1, 9))]
    text = "\n".join([*lines, "z: 1\n"])
    old = value_of(text)
    assert rewritten(text, old, {**old, "z": 2}) == text.replace("z: 1", "z: 2")


def test_an_alias_in_flow_style_becomes_its_value() -> None:
    """A comment would hide the rest of the line."""
    text = "a: &x http\nb: {c: *x, d: [*x, *x]}\n"
    new = {"a": "http", "b": {"c": 8080, "d": ["http", 1]}}
    assert rewritten(text, value_of(text), new) == "a: &x http\nb: {c: 8080, d: [*x, 1]}\n"


def test_an_alias_of_a_key_stays() -> None:
    """Keys do not change."""
    text = "&k a: 1\nb: *k\nc: {*k : 2}\nd: 1\n"
    assert rewritten(text, value_of(text), {"a": 1, "b": "a", "c": {"a": 2}, "d": 2}) == text.replace("d: 1", "d: 2")
