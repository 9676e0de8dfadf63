"""The wire format of Protocol Buffers: strict and bounded."""

from __future__ import annotations

import pytest
from harness.envoy import decode, part
from hypothesis import given
from hypothesis import strategies as st

from enforcer.decision_api.grpc.protobuf import BYTES, VARINT, Field, integer, message, read, repeated, single, text
from enforcer.errors import MalformedRequestError

NUMBERS = st.integers(1, 2**29 - 1)
VALUES = st.integers(1, 2**64 - 1) | st.binary(max_size=300)


@given(st.lists(st.tuples(NUMBERS, VALUES), max_size=20))
def test_what_is_written_is_read(fields: list[tuple[int, int | bytes]]) -> None:
    """Numbers, texts and messages, in order; an independent decoder reads the same."""
    written = b"".join(
        integer(number, value) if isinstance(value, int) else text(number, value) for number, value in fields
    )
    expected = [
        Field(number, VARINT, value, b"") if isinstance(value, int) else Field(number, BYTES, 0, value)
        for number, value in fields
    ]
    assert read(written) == expected
    assert written == b"".join(part(number, value) for number, value in fields)
    assert {number for number, _ in fields} == set(decode(written))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_message_or_malformed(data: bytes) -> None:
    """No other exception."""
    try:
        fields = read(data)
    except MalformedRequestError:
        return
    assert sum(len(field.data) for field in fields) <= len(data)


def test_a_number_is_left_out_if_it_is_the_default() -> None:
    """As proto3 writes it; a text is written, because `optional` fields differ."""
    assert (integer(1, 0), text(1, b""), message(2, b"\x08\x01")) == (b"", b"\n\x00", b"\x12\x02\x08\x01")


def test_unknown_fields_of_every_type_are_skipped() -> None:
    """A newer Envoy may send more."""
    data = b"\x09" + bytes(8) + b"\x15" + bytes(4) + b"\x18\x05" + b"\x22\x01x" + text(7, b"known")
    assert single(read(data), 7) == b"known"


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a",  # no length
        b"\x0a\x02x",  # a text that is cut short
        b"\x08",  # a number that is cut short
        b"\x08" + b"\xff" * 10,  # a number without end
        b"\x08" + b"\xff" * 9 + b"\x02",  # more than 64 bits
        b"\x09" + bytes(7),
        b"\x0d" + bytes(3),
        b"\x0b\x0c",  # a group
        b"\x0e",  # an unknown wire type
        b"\x00\x01",  # the number 0
        b"\x08\x01" * 1025,
        b"\x0a\xff\xff\xff\xff\x0f",  # longer than any message
    ],
)
def test_a_malformed_message_is_refused(data: bytes) -> None:
    """The first fault ends it, before anything is allocated for what it claims."""
    with pytest.raises(MalformedRequestError, match=r"^message: "):
        read(data)


def test_a_known_field_with_another_wire_type_is_refused() -> None:
    """Whether its value comes before or after one of the right type."""
    for data in (integer(1, 5), text(1, b"x") + integer(1, 5)):
        with pytest.raises(MalformedRequestError):
            repeated(read(data), 1)


def test_a_single_field_that_is_repeated_is_refused() -> None:
    """Parsers differ in the value that they take."""
    with pytest.raises(MalformedRequestError):
        single(read(text(1, b"a") + text(1, b"b")), 1)
    assert repeated(read(text(1, b"a") + text(1, b"b")), 1) == [b"a", b"b"]
