"""Faults of a server's keys in the log."""

import logging

import pytest
from harness.signing import key, public, text

from enforcer.errors import IntrospectionError
from enforcer.tokens.jwt.key_reader import KeyReader

GOOD = public(key("ES256"), kid="good")
SHORT = {"kty": "RSA", "kid": "short", "n": "AQAB", "e": "AQAB"}
PRIVATE = {**public(key("ES256", 2), kid="private"), "d": "AQAB"}


def test_a_key_that_cannot_be_used_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """With the server's name and the reason; again only after it was usable or gone."""
    reader = KeyReader("main")
    with caplog.at_level(logging.INFO, "enforcer.tokens"):
        for members, lines in (
            ([GOOD], 0),
            ([GOOD, SHORT], 1),
            ([GOOD, SHORT], 0),
            ([GOOD, SHORT, PRIVATE], 1),
            ([GOOD], 0),
            ([GOOD, SHORT], 1),
        ):
            caplog.clear()
            assert len(reader.read(text({"keys": members})).keys) == 1
            assert len(caplog.records) == lines
    (message,) = caplog.messages
    assert message.startswith("a token that names this key is answered 503: authorization server main, key 'short': ")
    assert message.endswith("its modulus has 17 bits; 2048 to 8192 are accepted")


def test_no_value_of_a_key_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It may be private."""
    KeyReader("main").read(text({"keys": [GOOD, {**PRIVATE, "d": "s3cret"}]}))
    assert "private part is published" in caplog.text
    assert "s3cret" not in caplog.text


def test_a_set_without_usable_keys_is_an_error() -> None:
    """It is logged where the fetch is."""
    with pytest.raises(IntrospectionError, match="key 'short'"):
        KeyReader("main").read(text({"keys": [SHORT]}))
