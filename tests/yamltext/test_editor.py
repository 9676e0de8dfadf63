"""Changes of values within the text of a document."""

from __future__ import annotations

from typing import Any

import pytest
from harness.kubernetes.manifests import STYLES, written
from hypothesis import given, settings
from hypothesis import strategies as st

from enforcer.yamltext.documents import compose, value_of
from enforcer.yamltext.editor import RewritingError, rewritten, with_members

SCALARS = st.sampled_from([None, True, 1, "a", "8080", "x: y", "a\nb\n", ""])
KEYS = st.sampled_from(["a", "b", "c", "name"])
MAPPINGS = st.recursive(
    st.dictionaries(KEYS, SCALARS, max_size=3),
    lambda inner: st.dictionaries(KEYS, st.one_of(SCALARS, inner, st.lists(inner, max_size=3)), max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(MAPPINGS, MAPPINGS, st.sampled_from([*STYLES]))
def test_the_changed_text_has_the_wanted_value_or_is_refused(
    old: dict[str, Any], new: dict[str, Any], style: str
) -> None:
    """Holds for every pair of values."""
    text = STYLES[style]({"kept": 1, **old})
    wanted = {"kept": 1, **new}
    try:
        result = rewritten(text, value_of(text), wanted)
    except RewritingError:
        # The first member of an item stands on the line of its dash.
        assert "\n- " in text or "\n  - " in text or " - " in text
    else:
        assert value_of(result) == wanted


@pytest.mark.parametrize(
    ("text", "new", "result"),
    [
        pytest.param("a: 1 # one\n# end\n", {"a": 2}, "a: 2 # one\n# end\n", id="a comment stays"),
        pytest.param("a: 'x'\n", {"a": "it's"}, "a: 'it''s'\n", id="single quotes stay"),
        pytest.param('a: "x"\n', {"a": "y"}, 'a: "y"\n', id="double quotes stay"),
        pytest.param("a: x\n", {"a": "8080"}, 'a: "8080"\n', id="what needs quotes gets them"),
        pytest.param("a:   'x'  # why\n", {"a": 1}, "a:   1  # why\n", id="a number has none"),
        pytest.param("a: # none\nb: 1\n", {"a": {"c": 2}, "b": 1}, "a: # none\n  c: 2\nb: 1\n", id="nothing is filled"),
        pytest.param("a:\n  c: 2\nb: 1\n", {"a": None, "b": 1}, "a:\nb: 1\n", id="and emptied"),
        pytest.param("a:\n  c: 2\nb: 1\n", {"a": {}, "b": 1}, "a: {}\nb: 1\n", id="a block that is empty"),
        pytest.param("a: |\n  x\n  y\n# c\nb: 1\n", {"a": "z\nx\n", "b": 1}, "a: |\n  z\n  x\n# c\nb: 1\n", id="lines"),
        pytest.param("a: |\n  x\n\n", {"a": "x\n", "c": 2}, "a: |\n  x\nc: 2\n\n", id="after lines"),
        pytest.param("a: 1", {"a": 1, "b": 2}, "a: 1\nb: 2", id="no line break at the end"),
        pytest.param("a: 1\r\n", {"a": 1, "b": {"c": 2}}, "a: 1\r\nb:\r\n  c: 2\r\n", id="other line breaks"),
        pytest.param("a: {b: 1} # x\n", {"a": {"b": 1, "c": 2}}, 'a: {b: 1, "c": 2} # x\n', id="a flow is added to"),
        pytest.param("a: {b: x}\n", {"a": {"b": "w"}}, "a: {b: w}\n", id="a flow's text without quotes"),
        pytest.param("a: {b: 1}\n", {"a": {"b": "w"}}, "a: {b: w}\n", id="a flow's text for a number"),
        pytest.param('{"a": {"b": 1}}', {"a": {"b": "y"}}, '{"a": {"b": "y"}}', id="and JSON's"),
        pytest.param("a: {b: 1}\n", {"a": {"b": "8080"}}, 'a: {b: "8080"}\n', id="with quotes where it needs some"),
        pytest.param("a: {b: x}\n", {"a": {"b": "y,z"}}, 'a: {b: "y,z"}\n', id="a flow's text with a comma"),
        pytest.param('{"a": [1, 3]}', {"a": [1, 2, 3]}, '{"a": [1, 2, 3]}', id="between others"),
        pytest.param("a: [1, 2, 3, 4]\n", {"a": [3, 4]}, "a: [3, 4]\n", id="without the first two"),
        pytest.param("a: [1, 2]\n", {"a": []}, "a: []\n", id="without any"),
        pytest.param("a:\n  - 1\n  - 2\n  - 3\n", {"a": [3]}, "a:\n  - 3\n", id="without the first two lines"),
        pytest.param("a:\n  - 1\n  - 2\n", {"a": []}, "a: []\n", id="without all lines"),
        pytest.param("a: [ ]\n", {"a": ["x"]}, 'a: ["x" ]\n', id="an empty flow"),
        pytest.param("a:\n  - b: 1\n", {"a": [{"b": 1, "c": [2]}]}, "a:\n  - b: 1\n    c:\n      - 2\n", id="lists"),
        pytest.param("a:\n- b: 1\n", {"a": [{"b": 1, "c": [2]}]}, "a:\n- b: 1\n  c:\n  - 2\n", id="lists that are not"),
        pytest.param("a:\n  # one\n  - x\n", {"a": ["w", "x"]}, "a:\n  - w\n  # one\n  - x\n", id="before a comment"),
        pytest.param("--- # doc\na: 1\n...\n", {"a": 1, "b": 2}, "--- # doc\na: 1\nb: 2\n...\n", id="marks"),
        pytest.param("tcp: {port: 1}\n", {"http": {"port": 2}}, "http: {port: 2}\n", id="another key"),
    ],
)
def test_only_changed_lines_are_written(text: str, new: dict[str, Any], result: str) -> None:
    """As a person would edit them; comments and formatting stay."""
    assert rewritten(text, value_of(text), new) == result


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ("&x a: 1\nc: *x\n", {"a": 1, "c": 2}),
        ("a:\n  - b: 1\n    c: 2\n", {"a": [{"c": 2}]}),
        ("? a\n: b: 1\n", {"a": {}}),
        ("a:\n  -\n    b: 1\n  - c\n", {"a": ["c"]}),
    ],
)
def test_a_change_that_cannot_be_made_in_place_is_refused(text: str, new: dict[str, Any]) -> None:
    """Writing it could change another value."""
    with pytest.raises(RewritingError, match="cannot be changed in place"):
        rewritten(text, value_of(text), new)


@pytest.mark.parametrize(
    "before",
    [
        "a: b c\n",
        "a: it's\n",
        "a: é\n",
        "{a: b c}\n",
        "a: 'b c'\n",
        'a: "b c"\n',
        "a: 'a: b'\n",
        'a: "yes"\n',
        'a: "[b"\n',
    ],
)
def test_a_restored_text_has_its_original_quotes(before: str) -> None:
    """Byte for byte; also a text without quotes that would get quotes if it were new."""
    old, new = value_of(before), {"a": "other"}
    after = rewritten(before, old, new)
    assert value_of(after) == new
    assert rewritten(after, new, old) == before


@pytest.mark.parametrize("text", ["a: b", "a #b", "- a", "[a", "yes", "1", "", "*a", "!a b", "%a", "a\nb", "? a"])
def test_a_text_is_quoted_if_it_would_have_another_type(text: str) -> None:
    """Even if the replaced value had no quotes."""
    assert value_of(rewritten("a: other\n", {"a": "other"}, {"a": text})) == {"a": text}


def test_the_time_for_a_long_list_is_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members are edited by themselves: what is parsed grows with the text, not with its square."""
    parsed: list[int] = []

    def counted(text: str) -> Any:
        parsed.append(len(text))
        return compose(text)

    monkeypatch.setattr("enforcer.yamltext.editor.compose", counted)
    old = [{"name": str(index), "a": {"b": [1, 2]}} for index in range(100)]
    new = [{**member, "a": {"b": [0, 1, 2], "c": 3}} for member in old]
    text = written([{"items": old}], "indented")
    edited = with_members(text, "items", old, new)
    assert value_of(edited) == {"items": new}
    assert edited == rewritten(text, {"items": old}, {"items": new})
    assert with_members(edited, "items", new, old) == text
    parsed.clear()
    with_members(text, "items", old, new)
    assert sum(parsed) < 6 * len(text)


@pytest.mark.parametrize(
    "text",
    [
        "items: [{a: 1}, {b: 2}]\n",
        "{items: [{a: 1}, {b: 2}]}\n",
        "items:\n- {a: 1}\n- {b: 2}\n",
        "items: &x\n  - a: 1\n  - b: 2\nother: *x\n",
    ],
)
def test_members_that_cannot_be_edited_by_themselves_are_edited_with_the_rest(text: str) -> None:
    """Each way changes the part that the other one leaves."""
    old = value_of(text)
    items = [{"a": 1, "c": 3}, {"b": 2}]
    part = with_members(text, "items", old["items"], items)
    wanted = {**old, "items": items}
    assert value_of(rewritten(part, value_of(part), wanted)) == wanted
