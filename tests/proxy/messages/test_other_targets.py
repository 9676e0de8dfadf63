"""Methods and targets that fields of a request name besides its own."""

from __future__ import annotations

import pytest

from enforcer.errors import MalformedRequestError
from enforcer.proxy.messages.head import RequestHead
from enforcer.proxy.messages.other_targets import OtherTargets, read_other_targets
from enforcer.wire.fields import field_kind


def read(method: bytes, *fields: tuple[bytes, bytes]) -> OtherTargets:
    """Return the other targets of a request for `/a` to the host `app`."""
    special: dict[int, list[tuple[bytes, bytes]]] = {}
    for name, value in fields:
        special.setdefault(field_kind(name), []).append((name, value))
    return read_other_targets(RequestHead(method, b"/a", b"app", [], special=special))


@pytest.mark.parametrize(
    ("destination", "path"),
    [
        (b"/b", b"/b"),
        (b" /b?c ", b"/b?c"),
        (b"http://app/b", b"/b"),
        (b"HTTPS://APP:443/b", b"/b"),
        (b"http://app", b"/"),
        (b"http://app?c", b"/?c"),
    ],
)
def test_a_destination_is_written_to(destination: bytes, path: bytes) -> None:
    """COPY and MOVE are authorized as PUT there."""
    assert read(b"MOVE", (b"Destination", destination)) == read(b"COPY", (b"destination", destination))
    assert read(b"MOVE", (b"Destination", destination)) == ((b"PUT", path),)


def test_a_destination_means_nothing_to_other_methods() -> None:
    """Other protocols have fields of that name."""
    assert read(b"POST", (b"Destination", b"my system")) == ()


def test_a_method_in_a_field_is_another_one_for_the_same_target() -> None:
    """In upper case, since apps convert it; with its destination."""
    assert read(b"POST", (b"X-HTTP-Method-Override", b" delete")) == ((b"DELETE", b"/a"),)
    assert read(b"POST", (b"X-HTTP-Method", b"POST")) == ()
    assert read(b"POST", (b"X-Method-Override", b"MOVE"), (b"Destination", b"/b")) == (
        (b"MOVE", b"/a"),
        (b"PUT", b"/b"),
    )


@pytest.mark.parametrize(
    "fields",
    [
        [(b"Destination", b"/b"), (b"Destination", b"/b")],
        [(b"Destination", b"b")],
        [(b"Destination", b"")],
        [(b"Destination", b"http://other/b")],
        [(b"Destination", b"http://app:8080/b")],
        [(b"Destination", b"http://app@other/b")],
        [(b"X-HTTP-Method", b"PUT"), (b"X-HTTP-Method-Override", b"DELETE")],
        [(b"X-HTTP-Method", b"PUT, DELETE")],
        [(b"X-HTTP-Method", b"")],
        [(b"X-HTTP-Method", b"X" * 33)],
    ],
)
def test_fields_that_apps_may_read_differently_are_refused(fields: list[tuple[bytes, bytes]]) -> None:
    """Several values, another host, or no path."""
    with pytest.raises(MalformedRequestError):
        read(b"MOVE", *fields)
