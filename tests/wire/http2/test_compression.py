"""Field sections, compressed and decompressed: against the library hpack on the other side, and against RFC 7541."""

from __future__ import annotations

import time

import pytest
from hpack import Decoder, Encoder, HPACKError, OversizedHeaderListError
from hypothesis import given
from hypothesis import strategies as st

from enforcer.wire.http2.compression import TABLE, FieldDecoder, FieldEncoder

Fields = list[tuple[bytes, bytes]]

NAMES = st.one_of(
    st.sampled_from([b":method", b":path", b"accept", b"x-a", b"x-b", b"authorization", b"cookie"]),
    st.binary(max_size=40),
)
VALUES = st.one_of(st.sampled_from([b"", b"GET", b"/", b"1", b"2", b"v" * 140, b"w" * 3000]), st.binary(max_size=40))
SECTIONS = st.lists(st.lists(st.tuples(NAMES, VALUES), max_size=8), min_size=1, max_size=4)
FIRST_BYTES = b"\x00\x01\x0f\x10\x20\x3f\x40\x61\x7f\x80\x82\xbe\xbf\xff"
"""With the meanings and the boundaries that RFC 7541 §6 gives them."""
SIZES = st.lists(st.sampled_from([0, 31, 64, 100, 500, 4096, 2**30]), max_size=3)

# RFC 7541, Appendix C.3 (requests) and C.4 (with the Huffman code), on one connection each
REQUESTS: list[Fields] = [
    [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"www.example.com")],
    [
        *[(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"www.example.com")],
        (b"cache-control", b"no-cache"),
    ],
    [
        *[(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/index.html")],
        *[(b":authority", b"www.example.com"), (b"custom-key", b"custom-value")],
    ],
]
PLAIN = [
    "828684410f7777772e6578616d706c652e636f6d",
    "828684be58086e6f2d6361636865",
    "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
]
HUFFMAN = [
    "828684418cf1e3c2e5f23a6ba0ab90f4ff",
    "828684be5886a8eb10649cbf",
    "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
]


def decoder(size: int = 2**20, count: int = 1000) -> FieldDecoder:
    """Return a decoder with limits that few sections exceed."""
    return FieldDecoder(size, count)


@pytest.mark.parametrize("blocks", [PLAIN, HUFFMAN])
def test_the_examples_of_the_rfc_are_decompressed(blocks: list[str]) -> None:
    """The later ones refer to fields of the earlier ones."""
    reader = decoder()
    assert [reader.decode(bytes.fromhex(block)) for block in blocks] == REQUESTS


def test_the_examples_of_the_rfc_are_compressed() -> None:
    """Without the Huffman code, to the same bytes."""
    encoder = FieldEncoder()
    assert [encoder.encode(fields).hex() for fields in REQUESTS] == PLAIN


@given(sections=SECTIONS, sizes=SIZES)
def test_the_library_decompresses_what_is_compressed(sections: list[Fields], sizes: list[int]) -> None:
    """Also after the peer has changed the size of the table, any number of times between two sections."""
    encoder, library = FieldEncoder(), Decoder(max_header_list_size=2**20)
    for fields in sections:
        for size in sizes:
            encoder.header_table_size = size
            assert encoder.header_table_size == min(size, TABLE)
        assert [tuple(field) for field in library.decode(encoder.encode(fields), raw=True)] == fields
        assert library.header_table_size == encoder.header_table_size


@given(sections=SECTIONS, sizes=SIZES, huffman=st.booleans())
def test_what_the_library_sends_is_decompressed(sections: list[Fields], sizes: list[int], *, huffman: bool) -> None:
    """With every representation that it uses, and with its changes of the size of the table."""
    encoder, reader = Encoder(), decoder()
    for fields in sections:
        for size in sizes:
            encoder.header_table_size = min(size, TABLE)
        assert reader.decode(encoder.encode(fields, huffman=huffman)) == fields


@given(
    blocks=st.lists(
        st.one_of(st.binary(max_size=60), st.lists(st.sampled_from(FIRST_BYTES), max_size=30).map(bytes)), max_size=4
    )
)
def test_any_bytes_mean_the_same_as_for_the_library(blocks: list[bytes]) -> None:
    """The same fields, or an error."""
    library, reader = Decoder(max_header_list_size=2**20), decoder()
    for block in blocks:
        try:
            expected = [tuple(field) for field in library.decode(block, raw=True)]
        except HPACKError:
            with pytest.raises(HPACKError):
                reader.decode(block)
            return
        assert reader.decode(block) == expected


@pytest.mark.parametrize(
    ("block", "count"), [("82", 1), ("400161 00", 1), ("000161 00", 1), ("100161 00", 1), ("20", 0)], ids=str
)
def test_no_more_fields_are_decompressed_than_are_allowed(block: str, count: int) -> None:
    """A byte is enough for a field, or for a change of the table's size."""
    field = bytes.fromhex(block)
    assert len(decoder(count=10).decode(field * 10)) == 10 * count
    with pytest.raises(OversizedHeaderListError):
        decoder(count=10).decode(field * 11)


def test_a_section_is_not_larger_than_is_allowed_when_it_is_decompressed() -> None:
    """A byte can refer to a field of kilobytes (CVE-2016-6581); each counts for 32 bytes more."""
    block = b"\x40\x01a\x7f\xe9\x06" + b"v" * 1000
    assert len(decoder(size=10 * 1033).decode(block + b"\xbe" * 9)) == 10
    with pytest.raises(OversizedHeaderListError):
        decoder(size=10 * 1033).decode(block + b"\xbe" * 10)


@pytest.mark.parametrize(
    "block",
    ["80", "be", "ff80808080808000", "3fe2 1f", "82 20", "40", "0001", "000161", "00016101", "ff", "00 81 00 00"],
    ids=lambda block: str(block).replace(" ", ""),
)
def test_a_section_that_is_not_valid_is_an_error(block: str) -> None:
    """Fields that do not exist, integers and strings that are cut short or too long, a table larger than permitted."""
    with pytest.raises(HPACKError):
        decoder().decode(bytes.fromhex(block))


def test_an_endless_integer_is_an_error_at_once() -> None:
    """Its length is not what decides on the work."""
    started = time.thread_time()
    with pytest.raises(HPACKError):
        decoder().decode(b"\x00\x7f" + b"\xff" * 100_000)
    assert time.thread_time() - started < 1


def test_the_table_of_a_peer_is_bounded() -> None:
    """A field that is larger than the table empties it (RFC 7541 §4.4), and old ones make room for new ones."""
    encoder, reader = FieldEncoder(), decoder()
    for number in range(300):
        fields = [(b"x-number", b"%d" % number), (b"x-long", b"v" * 100)]
        assert reader.decode(encoder.encode(fields)) == fields
    assert encoder.encode([(b"x-number", b"299")]) == b"\xbe"
    large = [(b"x-large", b"v" * 5000)]
    assert reader.decode(encoder.encode(large)) == large
    assert len(encoder.encode([(b"x-number", b"299")])) > 1
