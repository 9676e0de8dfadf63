"""The parts of a request that conditions read: a value that apps may read differently counts as absent."""

from __future__ import annotations

import pytest

from enforcer.policy.request_view import RequestView


@pytest.mark.parametrize(
    ("query", "value"),
    [
        (b"patient=7", b"7"),
        (b"a=1&patient=7&b=2", b"7"),
        (b"patient=a%20b", b"a b"),
        (b"patient=", b""),
        (b"pat%69ent=7", b"7"),
        (b"", None),
        (b"patient", None),
        (b"other=7", None),
        (b"patient=7&patient=7", None),
        (b"patient=7&Patient=8", None),
        (b"Patient=7", None),
        (b"patient=7&patient[]=8", None),
        (b"patient[]=7", None),
        (b"patient=7&pat%69ent=8", None),
        (b"a=1;patient=8&patient=7", None),
        (b"a=1;patient=7", None),
        (b"patient=7;b=1", None),
        (b"patient=7&+patient=8", None),
        (b"patient=7&patient%00x=8", None),
        (b"patient=a+b", None),
        (b"patient=%zz", None),
        (b"patient=7&patient]=8", None),
        (b"patient=7&[patient]=8", None),
        (b"patient=7&%5Bpatient%5D=8", None),
        (b"patient=7&[patient][0]=8", None),
        (b"patient=7&patient]x=8", None),
        (b"patient=7&%u0070atient=8", None),
        (b"patient=7&other=%", None),
        (b"patient=7" + 99 * b"&a=1", b"7"),
        (b"patient=7" + 100 * b"&a=1", None),
        (b"patient=7" + 100 * b";a=1", None),
    ],
)
def test_a_parameter_must_be_there_exactly_once_in_every_reading(query: bytes, value: bytes | None) -> None:
    """Apps differ in letter case, separators, brackets and what a plus sign means."""
    assert RequestView((), query).parameter(b"patient") == value
    assert RequestView((), RequestView((), query).pairs([b"patient"])).parameter(b"patient") == value


@pytest.mark.parametrize(
    ("first", "second"), [(b"a_b=1", name + b"=2") for name in (b"a.b", b"a%20b", b"a+b", b"a[b", b"a%5Bb", b"a]b")]
)
def test_a_parameter_in_another_spelling_is_another_value(first: bytes, second: bytes) -> None:
    """PHP reads dots, spaces and a bracket that is not closed in a name as underscores."""
    assert RequestView((), first).parameter(b"a_b") == b"1"
    assert RequestView((), first + b"&" + second).parameter(b"a_b") is None


def test_of_a_query_that_is_not_readable_nothing_is_kept() -> None:
    """Searching all its pairs would be work that clients choose."""
    assert RequestView((), b"patient=7&" + 100 * b"a&").pairs([b"patient"]) == b"%"


def test_of_a_field_two_lines_are_kept() -> None:
    """So that it has as little a value in the record as in the request."""
    lines = [piece for name in (b"X-Tenant", b"A", *[b"X_Tenant"] * 90) for piece in (name, b": ", b"a", b"\r\n")]
    fields = RequestView((), b"", b"", lines).fields([b"x-tenant"])
    assert fields == (b"X-Tenant", b": ", b"a", b"\r\n", b"X_Tenant", b": ", b"a", b"\r\n")
    assert RequestView((), b"", b"", fields).field(b"x-tenant") is None


def test_the_pairs_of_no_name_are_none() -> None:
    """A record of a request that no condition on the query concerns reveals nothing of it."""
    assert RequestView((), b"patient=%").pairs([]) == b""


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        ([(b"X-Tenant", b"a")], b"a"),
        ([(b"x-tenant", b" a\t")], b"a"),
        ([], None),
        ([(b"X-Tenant", b"a"), (b"X-Tenant", b"a")], None),
        ([(b"X-Tenant", b"a"), (b"X_Tenant", b"b")], None),
        ([(b"X_Tenant", b"a")], None),
        ([(b"X-Tenants", b"a")], None),
    ],
)
def test_a_field_must_be_there_exactly_once_in_every_spelling(
    fields: list[tuple[bytes, bytes]], value: bytes | None
) -> None:
    """CGI-like interfaces turn hyphens into underscores."""
    lines = [piece for name, content in fields for piece in (name, b": ", content, b"\r\n")]
    view = RequestView((), lines=lines)
    assert view.field(b"x-tenant") == value
    assert RequestView((), lines=view.fields([b"x-tenant"])).field(b"x-tenant") == value
