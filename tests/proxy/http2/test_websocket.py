"""The handshake of a WebSocket with the app."""

from __future__ import annotations

import base64

from enforcer.proxy.http2.websocket import is_accepted, names_protocol, new_key, without_accept

ACCEPTED = [b"Sec-WebSocket-Accept", b": ", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", b"\r\n"]
OTHER = [b"X", b": ", b"y", b"\r\n"]


def test_the_response_must_accept_the_key() -> None:
    """RFC 6455 §1.3 has this pair."""
    key = b"dGhlIHNhbXBsZSBub25jZQ=="
    assert is_accepted(key, [*OTHER, *ACCEPTED])
    assert not is_accepted(key, OTHER)
    assert not is_accepted(key, ACCEPTED + ACCEPTED)
    assert not is_accepted(new_key(), ACCEPTED)
    assert without_accept(OTHER + ACCEPTED) == OTHER


def test_each_key_is_another() -> None:
    """Sixteen random bytes (RFC 6455 §4.1)."""
    assert len(base64.b64decode(new_key())) == 16
    assert new_key() != new_key()


def test_only_a_pseudo_header_field_names_a_protocol() -> None:
    """A field behind the others does not."""
    assert names_protocol([(b":method", b"CONNECT"), (b":protocol", b"websocket")])
    assert not names_protocol([(b":method", b"CONNECT"), (b"x", b"y"), (b":protocol", b"websocket")])
    assert not names_protocol([(b":method", b"GET")])
