"""The number of fields in a compressed section, as the library's decoder finds it."""

from __future__ import annotations

import time

import pytest
from hpack import Decoder, Encoder, HPACKError
from hypothesis import given
from hypothesis import strategies as st

from enforcer.wire.http2.field_count import count_fields

NAMES = st.binary(min_size=1, max_size=300)
FIELDS = st.lists(st.tuples(NAMES, st.binary(max_size=300)), max_size=12)


@given(sections=st.lists(FIELDS, min_size=1, max_size=3), huffman=st.booleans())
def test_as_many_fields_are_counted_as_are_decoded(sections: list[list[tuple[bytes, bytes]]], *, huffman: bool) -> None:
    """Also those that refer to the table, which earlier sections have filled."""
    encoder, decoder = Encoder(), Decoder()
    for fields in sections:
        section = encoder.encode(fields, huffman=huffman)
        assert count_fields(section, 100) == len(list(decoder.decode(section, raw=True)))


@given(section=st.binary(max_size=200))
def test_any_bytes_are_counted(section: bytes) -> None:
    """Never fewer fields than the decoder finds, if it finds any."""
    try:
        decoded = len(list(Decoder().decode(section, raw=True)))
    except HPACKError:
        decoded = 0
    assert decoded <= count_fields(section, 1000)


@pytest.mark.parametrize("field", [b"\x82", b"\x40\x01a\x00", b"\x00\x01a\x00", b"\x20", b"\x10\x01a\x00"])
def test_no_more_is_counted_than_is_allowed(field: bytes) -> None:
    """A section of many short fields costs no more than one of the allowed number."""
    assert count_fields(field * 10, 10) == 10
    assert count_fields(field * 10_000, 10) == 11


def test_an_endless_integer_ends_the_count() -> None:
    """It is the decoder's to refuse."""
    started = time.thread_time()
    assert count_fields(b"\x00\x7f" + b"\xff" * 100_000, 10) == 1
    assert time.thread_time() - started < 1
