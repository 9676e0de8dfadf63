"""Units of settings: durations, sizes, counts and switches."""

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from enforcer.units import (
    Bytes,
    Count,
    Percentage,
    Seconds,
    SecondsOrZero,
    Switch,
    parse_count,
    parse_duration,
    parse_percentage,
    parse_positive_duration,
    parse_size,
    parse_switch,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("5s", 5.0), ("2m", 120.0), ("1h", 3600.0), ("0s", 0.0), ("1.5s", 1.5), ("0.5ms", 0.0005)],
)
def test_a_duration_is_a_number_with_its_unit(text: str, seconds: float) -> None:
    """The value is in seconds."""
    assert parse_duration(text) == pytest.approx(seconds)


INVALID_DURATIONS = [
    *("", "5", "s", "5 s", " 5s", "5s ", "5s\n", "-5s", "+5s", "5S", "5sec", "1d", "1h30m", "1e3s", "infs", "nans"),
    *(".5s", "5.s", "5.5.5s", "1,5s", "1_000s", "0x5s", "٥s", "५m", "9" * 10 + "s", 5, 5.0, True, None, ["5s"]),
]


@pytest.mark.parametrize("written", INVALID_DURATIONS)
def test_anything_else_is_not_a_duration(written: object) -> None:
    """A bare number has no unit, and guessing one turns 5 minutes into 5 milliseconds."""
    with pytest.raises(ValueError):
        parse_duration(written)


@pytest.mark.parametrize("written", ["0s", "0ms", "0.0h", "-1s", "", 0])
def test_a_timeout_is_greater_than_0(written: object) -> None:
    """A timeout of 0 would refuse everything."""
    with pytest.raises(ValueError):
        parse_positive_duration(written)


@pytest.mark.parametrize(
    ("written", "size"), [("1B", 1), ("512B", 512), ("64KiB", 65536), ("1MiB", 1048576), ("1GiB", 1073741824)]
)
def test_a_size_is_a_whole_number_with_its_unit(written: str, size: int) -> None:
    """The value is in bytes."""
    assert parse_size(written) == size


@pytest.mark.parametrize(
    "written",
    [
        *("", "64", "KiB", "64 KiB", " 1B", "1B\n", "64kib", "64K", "64KB", "64kB", "1.5MiB", "-1B", "+1B", "1TiB"),
        *("0B", "0KiB", "00MiB", "1e3B", "٦٤KiB", "9" * 16 + "B", 64, 64.0, True, None, ["1B"]),
    ],
)
def test_anything_else_is_not_a_size(written: object) -> None:
    """KB is ambiguous (1000 or 1024), and a limit of 0 would refuse everything."""
    with pytest.raises(ValueError):
        parse_size(written)


@pytest.mark.parametrize(("written", "value"), [("1%", 1), ("75%", 75), ("100%", 100)])
def test_a_percentage_is_a_whole_number_with_its_sign(written: str, value: int) -> None:
    """The value is the number."""
    assert parse_percentage(written) == value


@pytest.mark.parametrize(
    "written", ["", "%", "0%", "101%", "75", "7.5%", "75 %", " 75%", "75%\n", "-1%", "٧%", 75, 0.75, True]
)
def test_anything_else_is_not_a_percentage(written: object) -> None:
    """0.75 may be meant as a fraction, and 75 as a number of things."""
    with pytest.raises(ValueError):
        parse_percentage(written)


@pytest.mark.parametrize("value", [1, 2, 2**31 - 1])
def test_a_count_is_a_whole_number_of_at_least_one(value: int) -> None:
    """The value comes from the YAML parser."""
    assert parse_count(value) == value


@pytest.mark.parametrize("value", [0, -1, 2**31, 1.0, 1.5, True, False, "1", None, [1], math.inf, math.nan])
def test_anything_else_is_not_a_count(value: object) -> None:
    """`true` is not a number, although Python's bool is an int."""
    with pytest.raises(ValueError):
        parse_count(value)


@pytest.mark.parametrize("value", [True, False])
def test_a_switch_is_true_or_false(value: bool) -> None:
    """The value comes from the YAML parser."""
    assert parse_switch(value) is value


@pytest.mark.parametrize("value", [0, 1, "true", "false", "yes", "on", None, "", []])
def test_anything_else_is_not_a_switch(value: object) -> None:
    """`"false"` must not be true."""
    with pytest.raises(ValueError):
        parse_switch(value)


UNITS = [
    (Seconds, "5s", 5.0),
    (SecondsOrZero, "0s", 0.0),
    (Bytes, "64KiB", 65536),
    (Percentage, "75%", 75),
    (Count, 3, 3),
    (Switch, True, True),
]


@pytest.mark.parametrize(("unit", "written", "value"), UNITS)
def test_a_unit_as_annotation_is_parsed_and_has_a_schema(unit: Any, written: object, value: object) -> None:
    """Parser and schema accept the same text."""
    adapter = TypeAdapter(unit)
    assert adapter.validate_python(written) == value
    schema = adapter.json_schema()
    assert schema["type"] == ("string" if isinstance(written, str) else "boolean" if written is True else "integer")
    assert "pattern" not in schema or re.search(schema["pattern"], str(written))
    with pytest.raises(ValidationError):
        adapter.validate_python("nonsense")


@pytest.mark.parametrize(("unit", "parse"), [(Seconds, parse_positive_duration), (Bytes, parse_size)])
@given(text=st.text("0159.msh BKMGiT٥-e\n", max_size=8))
def test_the_schema_accepts_every_text_that_the_parser_accepts(unit: Any, parse: Any, text: str) -> None:
    """JSON Schema has ECMAScript's patterns, where `\\d` is ASCII and `$` matches only at the end."""
    pattern = TypeAdapter(unit).json_schema()["pattern"]
    try:
        value = parse(text)
    except ValueError:
        return
    assert 0 < value < math.inf
    assert re.search(pattern.removesuffix("$") + r"\Z", text, re.ASCII)
