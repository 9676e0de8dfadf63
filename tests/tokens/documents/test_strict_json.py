"""The strict reader of JSON objects."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.tokens.documents.strict_json import MAX_DEPTH, read_object


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"{}", {}),
        (b' {"a": [1, 2.5, null, true]}\n', {"a": [1, 2.5, None, True]}),
        (b'\xef\xbb\xbf{"a": "b"}', {"a": "b"}),
        ('{"ä": "\\u00f6"}'.encode(), {"ä": "ö"}),
    ],
)
def test_an_object_is_read(data: bytes, expected: dict[str, object]) -> None:
    """RFC 8259; a byte order mark may be ignored (§8.1)."""
    assert read_object(data) == expected


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b" ", b"{", b"[]", b"1", b"null", b'"{}"', b"{}{}", b"{'a': 1}", b'{"a": 1,}', b'{"a": 01}'),
        b'{"a": 1, "a": 1}',
        b'{"a": 1, "\\u0061": 2}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"a": [{"b": 1, "b": 2}]}',
        b'{"a": NaN}',
        b'{"a": [-Infinity]}',
        b'{"a": "\xff"}',
        '{"a": 1}'.encode("utf-16"),
        b'{"a": ' + b"9" * 5000 + b"}",
    ],
)
def test_ambiguous_json_is_rejected(data: bytes) -> None:
    """RFC 8259 §4: parsers differ on duplicate members."""
    with pytest.raises(ValueError):
        read_object(data)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_nesting_is_bounded(opening: str, closing: str) -> None:
    """Code that walks the object later cannot recurse too deeply; width is not bounded."""

    def nested(times: int) -> bytes:
        return ('{"a":' + opening * times + "1" + closing * times + "}").encode()

    assert read_object(nested(MAX_DEPTH - 1))
    for times in (MAX_DEPTH, 1000, 50_000):
        with pytest.raises(ValueError):
            read_object(nested(times))
    assert read_object(json.dumps({"a": [{"b": 1}] * 1000}).encode())


def test_an_error_shows_nothing_of_the_text() -> None:
    """It may be logged, and the text may contain a token."""
    for data in (b'{"secret": secret}', b'["secret"]', b'{"secret": 1, "secret": 2}', b'{"a": secret NaN}'):
        with pytest.raises(ValueError) as error:
            read_object(data)
        assert "secret" not in str(error.value)
        assert error.value.__cause__ is None
        assert error.value.__suppress_context__ or error.value.__context__ is None


@given(
    st.binary() | st.text().map(str.encode) | st.recursive(st.none(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_any_bytes_are_an_object_or_a_value_error(data: bytes) -> None:
    """And raise no other exception."""
    with suppress(ValueError):
        assert isinstance(read_object(data), dict)


def test_the_number_of_objects_from_a_client_is_bounded() -> None:
    """Each is checked for duplicate members, and a client chooses how many there are in a token."""
    assert read_object(b'{"a": [{}, {}]}', 3)
    with pytest.raises(ValueError, match="too many objects"):
        read_object(b'{"a": [{}, {}, {}]}', 3)
