"""Client authentication with a secret or a certificate."""

import base64
from urllib.parse import parse_qs, unquote_plus

from enforcer.secret import Secret
from enforcer.tokens.introspection.client_authentication import secret_basic, secret_post, tls_client

ODD = "a:b c%&é"


def test_basic_form_encodes_identifier_and_secret_first() -> None:
    """RFC 6749 §2.3.1: a colon or a space in them changes nothing."""
    lines, form = secret_basic(ODD, Secret(ODD)).credentials()
    assert form == b""
    assert lines.startswith(b"Authorization: Basic ")
    assert lines.endswith(b"\r\n")
    identifier, _, secret = base64.b64decode(lines[21:-2]).decode().partition(":")
    assert (unquote_plus(identifier), unquote_plus(secret)) == (ODD, ODD)


def test_post_puts_identifier_and_secret_into_the_form() -> None:
    """One parameter each, whatever their text."""
    lines, form = secret_post(ODD, Secret(ODD)).credentials()
    assert lines == b""
    assert parse_qs(form.decode()[1:], strict_parsing=True) == {"client_id": [ODD], "client_secret": [ODD]}


def test_a_certificate_needs_only_the_client_id() -> None:
    """RFC 8705 §2: no secret is sent."""
    assert tls_client(ODD).credentials() == (b"", b"&client_id=a%3Ab+c%25%26%C3%A9")


def test_repr_shows_no_credentials() -> None:
    """Because it ends up in logs."""
    assert "hidden" not in repr(secret_post("id", Secret("hidden")).credentials())
    assert "hidden" not in repr(secret_post("id", Secret("hidden")))
