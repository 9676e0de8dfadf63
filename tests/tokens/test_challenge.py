"""Challenges: the value of WWW-Authenticate."""

import pytest

from enforcer.settings.challenge import ChallengeSettings
from enforcer.tokens.challenge import BearerError, DPoPError, challenge, dpop_challenge

BARE = ChallengeSettings()
RESOURCE = "https://api.example.org/.well-known/oauth-protected-resource"
FULL = ChallengeSettings(realm="countries", scope=True, resource_metadata=RESOURCE)


def test_without_an_error_or_a_setting_the_challenge_is_bare() -> None:
    """RFC 6750 §3: no error code if the request had no credentials."""
    assert challenge(BARE, None) == "Bearer"


@pytest.mark.parametrize(
    ("error", "scopes", "expected"),
    [
        (BearerError.INVALID_REQUEST, (), 'Bearer error="invalid_request"'),
        (BearerError.INVALID_TOKEN, (), 'Bearer error="invalid_token"'),
        (
            BearerError.INSUFFICIENT_SCOPE,
            ("country.write", "country.read"),
            'Bearer error="insufficient_scope", scope="country.read country.write"',
        ),
        (None, ("b", "a"), 'Bearer scope="a b"'),
        (None, ("a", "b", "a"), 'Bearer scope="a b"'),
    ],
)
def test_the_challenge_has_the_error_and_each_scope_once(
    error: BearerError | None, scopes: tuple[str, ...], expected: str
) -> None:
    """RFC 6750 §3; the order is the same in every process."""
    assert challenge(BARE, error, scopes) == expected


@pytest.mark.parametrize("error", [None, *BearerError])
def test_each_challenge_has_the_configured_parameters(error: BearerError | None) -> None:
    """RFC 9110 §11.5, RFC 9728 §5.1; each parameter once."""
    said = f'error="{error}", ' if error else ""
    expected = f'Bearer realm="countries", {said}scope="a", resource_metadata="{RESOURCE}"'
    assert challenge(FULL, error, ["a"]) == expected


@pytest.mark.parametrize(
    ("realm", "expected"),
    [
        ("", 'Bearer realm=""'),
        ('the "x" \\ y', r'Bearer realm="the \"x\" \\ y"'),
        ('x", error="invalid_token', r'Bearer realm="x\", error=\"invalid_token"'),
    ],
)
def test_a_setting_cannot_end_its_quoted_string(realm: str, expected: str) -> None:
    """RFC 9110 §5.6.4."""
    assert challenge(ChallengeSettings(realm=realm), None) == expected


@pytest.mark.parametrize("realm", ["a\r\nSet-Cookie: x", "é"])
def test_a_setting_that_no_field_can_hold_is_an_error(realm: str) -> None:
    """At load, when the challenges are written."""
    with pytest.raises(ValueError):
        challenge(ChallengeSettings(realm=realm), None)


@pytest.mark.parametrize(
    ("error", "scopes", "expected"),
    [
        (None, (), 'DPoP algs="ES256 PS256"'),
        (BearerError.INVALID_TOKEN, (), 'DPoP error="invalid_token", algs="ES256 PS256"'),
        (DPoPError.INVALID_DPOP_PROOF, (), 'DPoP error="invalid_dpop_proof", algs="ES256 PS256"'),
        (
            BearerError.INSUFFICIENT_SCOPE,
            ("b", "a"),
            'DPoP error="insufficient_scope", scope="a b", algs="ES256 PS256"',
        ),
    ],
)
def test_a_dpop_challenge_names_the_algorithms(
    error: BearerError | DPoPError | None, scopes: tuple[str, ...], expected: str
) -> None:
    """RFC 9449 §7.1: even if it has no other parameter."""
    assert dpop_challenge(BARE, error, ("ES256", "PS256"), scopes) == expected


def test_a_dpop_challenge_has_the_configured_parameters() -> None:
    """As a Bearer challenge has."""
    expected = f'DPoP realm="countries", error="invalid_token", resource_metadata="{RESOURCE}", algs="ES256"'
    assert dpop_challenge(FULL, BearerError.INVALID_TOKEN, ["ES256"]) == expected
