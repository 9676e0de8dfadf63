"""YAML as plain values that know where they stand."""

from typing import Any

import pytest

from enforcer.config.document import MOST_DEPTH, dotted, parse, show
from enforcer.errors import ConfigError


def value_of(text: str) -> Any:
    """Read `text` as the value of a key."""
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
def test_a_plain_scalar_is_what_json_would_make_of_it(text: str, value: object) -> None:
    """Booleans, null and numbers are read; what is quoted is text."""
    found = value_of(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "text",
    ["yes", "no", "on", "off", "y", "tRUE", "2024-01-01", "12:30:45", "0x1F", "0o17", "017", "1_000", ".5", ".inf"],
)
def test_the_surprises_of_yaml_1_1_stay_text(text: str) -> None:
    """A scope may be called `on`, and a version 017."""
    assert value_of(text) == text


def test_a_number_of_absurd_length_stays_text() -> None:
    """Python refuses to read integers of thousands of digits; nobody means one."""
    assert value_of("9" * 5000) == "9" * 5000


def test_every_key_value_and_item_knows_its_place() -> None:
    """Lines and columns count from 1; a mapping or list stands where its key does."""
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
    """An editor's column is meant."""
    assert parse("file", "größe: {ä: x}".encode()).place(("größe", "ä")) == (1, 12)


@pytest.mark.parametrize("lines", [0, 10_000, 100_000])
def test_a_character_that_cannot_stand_in_yaml_is_found_wherever_it_is(lines: int) -> None:
    """In a large file too."""
    with pytest.raises(ConfigError) as refused:
        parse("file", b"# a comment\n" * lines + b"key: \x07\n" + b"# a comment\n" * lines)
    assert str(refused.value) == f"file:{lines + 1}:6: the character U+0007 cannot stand in YAML"


def test_a_byte_order_mark_is_no_part_of_the_first_key() -> None:
    """Some editors begin a file with one."""
    assert parse("file", b"\xef\xbb\xbfkey: x").values == {"key": "x"}


def test_an_alias_stands_for_its_anchors_value_at_its_own_place() -> None:
    """The value is shared, the place is the alias's."""
    document = parse("file", b"a: &x [1, 2]\nb: {c: *x}\n")
    assert document.values == {"a": [1, 2], "b": {"c": [1, 2]}}
    assert document.place(("b", "c")) == (2, 5)
    assert not document.problems


def test_a_duplicate_key_keeps_the_first_value_and_is_one_problem() -> None:
    """Both places are named, and reading goes on."""
    document = parse("file", b"a: 1\nb: {c: 1, c: 2}\na: 3\nd: 4\n")
    assert document.values == {"a": 1, "b": {"c": 1}, "d": 4}
    assert [str(problem) for problem in document.problems] == [
        'file:2:11: b: duplicate key "c"; it stands first at file:2:5',
        'file:3:1: duplicate key "a"; it stands first at file:1:1',
    ]


def test_what_stands_as_deep_as_allowed_is_read() -> None:
    """The bound is on what nobody writes."""
    assert value_of("[" * MOST_DEPTH + "]" * MOST_DEPTH)


def test_deep_keys_count_as_depth_too() -> None:
    """A key may be a mapping to YAML, whose key may be one again."""
    with pytest.raises(ConfigError, match="deep in each other"):
        parse("file", b"? " * 5000 + b"x")


def test_a_path_is_written_so_that_odd_keys_stay_on_their_line() -> None:
    """What is no plain name is quoted."""
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
def test_a_value_is_shown_short_and_on_one_line(value: object, text: str) -> None:
    """Of containers, only what they are."""
    assert show(value) == text
