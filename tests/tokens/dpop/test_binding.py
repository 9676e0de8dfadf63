"""The binding of a token to a key or certificate, from its `cnf` claim."""

import base64
from typing import Any

import pytest

from enforcer.tokens.dpop.binding import UNBOUND, UNKNOWN, Binding, BindingKind, binding
from enforcer.tokens.jwt.jws import sha256_base64url

# RFC 8705 appendix A
CERTIFICATE = base64.b64decode(
    "MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAxODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwE"
    "bXRsczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ/Au08/coZwxS7LfA4vOLS9WuneIXhbGG"
    "WvsDSb0tH6IxLm8wCgYIKoZIzj0EAwIDSQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOVbUlJSGQgjwD5vaUa"
    "KlLR50Q2DmFfQj1L+SY="
)
THUMBPRINT = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"


def test_the_thumbprint_of_a_certificate_is_its_sha256_digest() -> None:
    """RFC 8705 §3.1, appendix A."""
    assert sha256_base64url(CERTIFICATE) == THUMBPRINT
    assert sha256_base64url(CERTIFICATE + b"\0") != THUMBPRINT


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({}, UNBOUND),
        ({"cnf": None}, UNBOUND),
        ({"cnf": {"x5t#S256": THUMBPRINT}}, Binding(BindingKind.CERTIFICATE, THUMBPRINT)),
        ({"cnf": {"jkt": "x"}}, Binding(BindingKind.KEY, "x")),
    ],
)
def test_the_cnf_claim_names_the_key_or_certificate(claims: dict[str, Any], expected: Binding) -> None:
    """RFC 8705 §3.1, §3.2; RFC 9449 §6.1, §6.2."""
    assert binding(claims) == expected


@pytest.mark.parametrize(
    "confirmation",
    [
        {},
        {"jwk": {"kty": "EC"}},
        {"kid": "x"},
        {"x5t": "x"},
        {"jku": "https://evil.example"},
        {"JKT": "x"},
        {"jkt": "x", "x5t#S256": "x"},
        {"jkt": "x", "new": "x"},
        {"jkt": ""},
        {"jkt": None},
        {"jkt": 1},
        {"jkt": ["x"]},
        {"x5t#S256": {}},
        "jkt",
        ["jkt"],
        True,
        False,
        0,
        "",
    ],
)
def test_an_unknown_binding_does_not_count_as_none(confirmation: Any) -> None:
    """RFC 7800 §3.1: a token with a confirmation that is not understood must not pass as unbound."""
    assert binding({"cnf": confirmation}) == UNKNOWN
