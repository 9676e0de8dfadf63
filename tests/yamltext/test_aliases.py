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
