"""Differences between two values, and JSON patches."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.yamltext.json_diff import Change, PatchError, as_json_patch, changes, patched

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(0, 3), st.sampled_from(["a", "b/c", "~d", ""]))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(["name", "x", "y/z", "~", ""]), inner, max_size=4)
    ),
    max_leaves=12,
)


def moved(value: Any, patch: list[dict[str, Any]]) -> Any:
    """Apply a patch that may move members, which is a removal and an addition (RFC 6902 §4.4)."""
    for operation in patch:
        if operation["op"] == "move":
            member = value
            for step in operation["from"].split("/")[1:]:
                step = step.replace("~1", "/").replace("~0", "~")
                member = member[int(step)] if isinstance(member, list) else member[step]
            value = patched(value, [{"op": "remove", "path": operation["from"]}])
            operation = {"op": "add", "path": operation["path"], "value": member}
        value = patched(value, [operation])
    return value


@given(VALUES, VALUES)
def test_the_differences_change_one_value_into_the_other(old: Any, new: Any) -> None:
    """Applied as a JSON patch; equal values have no difference."""
    assert moved(old, as_json_patch(changes(old, new))) == new
    assert list(changes(old, old)) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(
            [{"name": "app"}],
            [{"name": "enforcer"}, {"name": "app", "x": 1}],
            [Change("add", (0, "x"), 1, "name"), Change("add", (0,), {"name": "enforcer"})],
            id="what goes before the first is one addition",
        ),
        pytest.param(
            [{"name": "http", "containerPort": 8080}],
            [{"name": "app-http", "containerPort": 8080}],
            [Change("replace", (0, "name"), "app-http")],
            id="one with another name in the same place is the same",
        ),
        pytest.param(
            {"tcpSocket": {"port": 1}, "timeoutSeconds": 1},
            {"httpGet": {"port": 2}, "timeoutSeconds": 1},
            [Change("move", ("tcpSocket",), "httpGet"), Change("replace", ("httpGet", "port"), 2)],
            id="a mapping under another key has moved",
        ),
        pytest.param(
            {"a": 1, "c": 3},
            {"a": 1, "b": 2, "c": 3, "d": 4},
            [Change("add", ("b",), 2, "a"), Change("add", ("d",), 4, "c")],
            id="an added member follows another",
        ),
        pytest.param({"a": None}, {"a": {}}, [Change("replace", ("a",), {})], id="nothing is not empty"),
        pytest.param({"a": 1}, {"a": True}, [Change("replace", ("a",), True)], id="1 is not true"),
    ],
)
def test_differences_are_minimal(old: Any, new: Any, expected: list[Change]) -> None:
    """So that a comparison shows only the changes."""
    assert list(changes(old, new)) == expected


def test_a_long_list_of_equal_members_is_compared_from_its_ends() -> None:
    """A quadratic comparison would take a minute."""
    assert list(changes(["x"] * 20_000, ["x"] * 20_001)) == [Change("add", (20_000,), "x")]


def test_long_lists_without_equal_ends_are_replaced() -> None:
    """Their comparison would take too long."""
    old, new = [["a", *["x"] * 2000, "b"], ["c", *["x"] * 2000, "d"]]
    assert list(changes({"args": old}, {"args": new})) == [Change("replace", ("args",), new)]


@pytest.mark.parametrize(
    ("value", "operation", "result"),
    [
        ({"a": 1}, {"op": "add", "path": "/b", "value": 2}, {"a": 1, "b": 2}),
        ({"a": [1]}, {"op": "add", "path": "/a/-", "value": 2}, {"a": [1, 2]}),
        ({"a": [1]}, {"op": "add", "path": "/a/0", "value": 2}, {"a": [2, 1]}),
        ({"a": [1, 2]}, {"op": "remove", "path": "/a/0"}, {"a": [2]}),
        ({"a~/b": 1}, {"op": "replace", "path": "/a~0~1b", "value": 2}, {"a~/b": 2}),
        ({"~1": 1}, {"op": "test", "path": "/~01", "value": 1}, {"~1": 1}),
        ({"a": 1}, {"op": "replace", "path": "", "value": 2}, 2),
    ],
)
def test_a_patch_is_applied_to_a_copy(value: Any, operation: dict[str, Any], result: Any) -> None:
    """RFC 6902 §4, and RFC 6901 for its paths."""
    before = repr(value)
    assert patched(value, [operation]) == result
    assert repr(value) == before


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        ({"op": "copy", "from": "/a", "path": "/b"}, 'expected {"op"'),
        ({"op": "add", "path": "/b"}, 'expected {"op"'),
        ({"op": "add", "path": 5, "value": 1}, 'expected {"op"'),
        ({"op": "remove", "path": "a"}, 'a path that begins with /, found "a"'),
        ({"op": "remove", "path": "/b"}, 'there is nothing at "/b"'),
        ({"op": "remove", "path": "/l/1"}, 'there is nothing at "/l/1"'),
        ({"op": "replace", "path": "/l/-", "value": 1}, 'there is nothing at "/l/-"'),
        ({"op": "add", "path": "/l/2", "value": 1}, 'nothing can be added at "/l/2"'),
        ({"op": "add", "path": "/a/b", "value": 1}, 'nothing can be added at "/a/b"'),
        ({"op": "add", "path": "/a/b/c", "value": 1}, 'there is nothing at "/a/b/c"'),
        ({"op": "test", "path": "/a", "value": 2}, "does not have the value that the test expects"),
    ],
)
def test_the_error_of_a_patch_that_cannot_be_applied_has_the_reason(operation: dict[str, Any], why: str) -> None:
    """The message has the path."""
    with pytest.raises(PatchError) as refused:
        patched({"a": 1, "l": [1]}, [operation])
    assert why in str(refused.value)
