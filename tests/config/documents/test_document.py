"""YAML as plain values that know their positions."""

from __future__ import annotations

from typing import Any

import pytest

from enforcer.config.documents.document import MAX_DEPTH, dotted, parse, show
from enforcer.errors import ConfigError


def value_of(text: str) -> Any:
    """Return the value of a key whose value is `text`."""
    return parse("file", f"key: {text}\n".encode()).values["key"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("TRUE", True),
        ("null", None),
        ("~", None),
        ("", None),
        ("0", 0),
        ("-12", -12),
        ("1.5", 1.5),
        ("2e3", 2000.0),
        ('"5"', "5"),
        ("'true'", "true"),
        ("!!str 5", "5"),
    ],
)
def test_a_plain_scalar_is_read_as_in_json(text: str, value: object) -> None:
    """Booleans, null and numbers are recognised; a quoted value is text."""
    parsed = value_of(text)
    assert (parsed, type(parsed)) == (value, type(value))


@pytest.mark.parametrize(
    "text",
    ["yes", "no", "on", "off", "y", "tRUE", "2024-01-01", "12:30:45", "0x1F", "0o17", "017", "1_000", ".5", ".inf"],
)
def test_the_surprises_of_yaml_1_1_stay_text(text: str) -> None:
    """A scope may be called `on`, and a version 017."""
    assert value_of(text) == text


def test_an_absurdly_long_number_stays_text() -> None:
    """Python refuses to convert integers of thousands of digits."""
    assert value_of("9" * 5000) == "9" * 5000


def test_every_key_value_and_item_has_a_position() -> None:
    """Lines and columns count from 1; the position of a mapping or list is that of its key."""
    document = parse("file", b"# first\na:\n  b: [x, {c: 5}]\n  d: e\n")
    places = {path: document.place(path) for path in [(), ("a",), ("a", "b"), ("a", "b", 0), ("a", "b", 1), ("a", "d")]}
    assert places == {
        (): (1, 1),
        ("a",): (2, 1),
        ("a", "b"): (3, 3),
        ("a", "b", 0): (3, 7),
        ("a", "b", 1): (3, 10),
        ("a", "d"): (4, 6),
    }
    assert document.place(("a", "d"), of_key=True) == (4, 3)
    assert document.place(("a", "b", 1, "c")) == (3, 14)


def test_a_column_counts_characters_not_bytes() -> None:
    """As editors count columns."""
    assert parse("file", "größe: {ä: x}".encode()).place(("größe", "ä")) == (1, 12)


@pytest.mark.parametrize("lines", [0, 10_000, 100_000])
def test_a_character_not_allowed_in_yaml_is_found_anywhere(lines: int) -> None:
    """Also in a large file."""
    with pytest.raises(ConfigError) as refused:
        parse("file", b"# a comment\n" * lines + b"key: \x07\n" + b"# a comment\n" * lines)
    assert str(refused.value) == f"file:{lines + 1}:6: the character U+0007 is not allowed in YAML"


def test_a_byte_order_mark_is_not_part_of_the_first_key() -> None:
    """Some editors begin a file with one."""
    assert parse("file", b"\xef\xbb\xbfkey: x").values == {"key": "x"}


def test_an_alias_has_its_anchors_value_and_its_own_position() -> None:
    """The value is shared, the position is the alias's."""
    document = parse("file", b"a: &x [1, 2]\nb: {c: *x}\n")
    assert document.values == {"a": [1, 2], "b": {"c": [1, 2]}}
    assert document.place(("b", "c")) == (2, 5)
    assert not document.problems


def test_a_duplicate_key_keeps_the_first_value_and_is_one_problem() -> None:
    """The message names both positions, and parsing goes on."""
    document = parse("file", b"a: 1\nb: {c: 1, c: 2}\na: 3\nd: 4\n")
    assert document.values == {"a": 1, "b": {"c": 1}, "d": 4}
    assert [str(problem) for problem in document.problems] == [
        'file:2:11: b: duplicate key "c"; first used at file:2:5',
        'file:3:1: duplicate key "a"; first used at file:1:1',
    ]


def test_the_maximum_depth_is_accepted() -> None:
    """The bound is far above any real configuration."""
    value: Any = value_of("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    for _ in range(MAX_DEPTH - 1):
        (value,) = value
    assert value == []


def test_deep_keys_count_as_depth_too() -> None:
    """In YAML a key may be a mapping, whose key may be a mapping again."""
    with pytest.raises(ConfigError, match="are nested more than"):
        parse("file", b"? " * 5000 + b"x")


def test_unusual_keys_in_a_path_are_quoted() -> None:
    """A path is one line, whatever its keys contain."""
    assert dotted(("rules", 2, "claims", "a b\n", "c-d")) == 'rules[2].claims."a b\\n".c-d'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing"),
        (True, "true"),
        (5, "5"),
        ("a\n", '"a\\n"'),
        ([], "an empty list"),
        ([1], "a list"),
        ({}, "a mapping"),
        ("x" * 200, '"' + "x" * 97 + '…"'),
    ],
)
def test_a_value_in_a_message_is_short_and_one_line(value: object, text: str) -> None:
    """Of mappings and lists, only the type is shown."""
    assert show(value) == text
