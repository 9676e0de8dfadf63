"""Claims, introspection responses and lifetimes of tokens."""

import re

from hypothesis import given
from hypothesis import strategies as st

from authserver.tokens import LIFETIME, Token, claims, digest, expires_in, introspection, new_opaque_token

NOW = 1_800_000_000
TOKEN = Token(
    jti="7d2f",
    iss="https://as.example",
    client_id="app",
    aud=("api", "b"),
    scope="read write",
    iat=NOW,
    exp=NOW + LIFETIME,
)


def test_the_claims_are_the_claims_of_rfc_9068_and_nbf() -> None:
    """In this grant, `sub` is the client and `nbf` the time of issue."""
    assert claims(TOKEN) == {
        "sub": "app",
        "aud": ["api", "b"],
        "nbf": NOW,
        "scope": "read write",
        "iss": "https://as.example",
        "exp": NOW + 14400,
        "iat": NOW,
        "jti": "7d2f",
        "client_id": "app",
    }


def test_the_introspection_response_of_an_active_token_has_its_claims() -> None:
    """RFC 7662 §2.2."""
    assert {"active": True, "token_type": "Bearer", **claims(TOKEN)} == introspection(TOKEN, NOW)


def test_a_token_is_active_until_exp() -> None:
    """RFC 7519 §4.1.4: not valid on or after exp."""
    assert introspection(TOKEN, TOKEN.exp - 1)["active"] is True
    assert introspection(TOKEN, TOKEN.exp) == {"active": False}


def test_an_unknown_token_is_only_reported_as_inactive() -> None:
    """RFC 7662 §2.2: the response has no other member."""
    assert introspection(None, NOW) == {"active": False}


@given(st.floats(min_value=0, max_value=4e9))
def test_a_new_token_expires_in_14399_whole_seconds(now: float) -> None:
    """At any fraction of a second. A client that counts them from now stops before `exp`."""
    second = int(now)
    token = Token(jti="1", iss="i", client_id="c", aud=("a",), scope="s", iat=second, exp=second + LIFETIME)
    assert token.exp - token.iat == 14400
    assert expires_in(token, second) == 14399
    assert now + expires_in(token, second) < token.exp


def test_opaque_tokens_are_128_url_safe_characters_and_unique() -> None:
    """With the alphabet of RFC 4648 §5."""
    tokens = {new_opaque_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{128}", token) for token in tokens)


def test_a_digest_does_not_contain_the_token() -> None:
    """It is the SHA-256 of any text, 32 octets."""
    assert len(digest("Å")) == 32
    assert digest("a") != digest("b")
    assert b"secret-token" not in digest("secret-token")
