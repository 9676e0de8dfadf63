import re

from hypothesis import given
from hypothesis import strategies as st

from authserver.tokens import LIFETIME, Token, claims, digest, expires_in, introspection, opaque

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


def test_the_claims_are_those_of_rfc_9068_and_nbf() -> None:
    """`sub` is the client and `nbf` the time of issue, in this grant."""
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


def test_an_active_token_is_introspected_with_its_claims() -> None:
    """RFC 7662 §2.2."""
    assert {"active": True, "token_type": "Bearer", **claims(TOKEN)} == introspection(TOKEN, NOW)


def test_a_token_is_active_until_the_second_of_exp_begins() -> None:
    """RFC 7519 §4.1.4: not on or after exp."""
    assert introspection(TOKEN, TOKEN.exp - 1)["active"] is True
    assert introspection(TOKEN, TOKEN.exp) == {"active": False}


def test_of_a_token_that_is_not_known_nothing_is_told() -> None:
    """RFC 7662 §2.2: exactly this."""
    assert introspection(None, NOW) == {"active": False}


@given(st.floats(min_value=0, max_value=4e9))
def test_a_new_token_expires_in_14399_whole_seconds_at_any_moment_of_a_second(moment: float) -> None:
    """Also at the very start of one; and who counts them from now stops before exp."""
    second = int(moment)
    token = Token(jti="1", iss="i", client_id="c", aud=("a",), scope="s", iat=second, exp=second + LIFETIME)
    assert token.exp - token.iat == 14400
    assert expires_in(token, second) == 14399
    assert moment + expires_in(token, second) < token.exp


def test_an_opaque_token_is_128_url_safe_characters_and_never_the_same() -> None:
    """Of the alphabet of RFC 4648 §5."""
    tokens = {opaque() for _ in range(100)}
    assert len(tokens) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{128}", token) for token in tokens)


def test_a_digest_does_not_show_the_token() -> None:
    """SHA-256, 32 octets, of any text."""
    assert len(digest("Å")) == 32
    assert digest("a") != digest("b")
    assert b"secret-token" not in digest("secret-token")
