"""Challenges of refusals (RFC 6750 §3, RFC 9449 §7.1, RFC 9728 §5.1), written once at load."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from enforcer.settings.challenge import ChallengeSettings
from enforcer.wire.fields import parameters


class BearerError(StrEnum):
    """RFC 6750 §3.1."""

    INVALID_REQUEST = "invalid_request"
    INVALID_TOKEN = "invalid_token"  # noqa: S105 - an error code
    INSUFFICIENT_SCOPE = "insufficient_scope"
    INSUFFICIENT_USER_AUTHENTICATION = "insufficient_user_authentication"  # RFC 9470 §3


class DPoPError(StrEnum):
    """RFC 9449 §12.2, in addition to those of RFC 6750."""

    INVALID_DPOP_PROOF = "invalid_dpop_proof"


Login = tuple[Iterable[str], float | None]
"""The parameters of RFC 9470 §3: `acr_values`, the preferred first, and `max_age` in seconds."""


def challenge(
    settings: ChallengeSettings, error: BearerError | None, scopes: Iterable[str] = (), login: Login | None = None
) -> str:
    """Write a Bearer challenge, without parameters if there is no error and the settings add none.

    RFC 6750 §3: no error code when the request lacked any authentication information.
    """
    pairs = _pairs(settings, error, scopes, login)
    return f"Bearer {parameters(pairs)}" if pairs else "Bearer"


def basic_challenge(settings: ChallengeSettings) -> str:
    """Write a Basic challenge (RFC 7617 §2), which always has a realm: clients show it to people."""
    return f"Basic {parameters([('realm', settings.realm or 'an access token as password')])}"


def dpop_challenge(
    settings: ChallengeSettings,
    error: BearerError | DPoPError | None,
    algorithms: Iterable[str],
    scopes: Iterable[str] = (),
    login: Login | None = None,
) -> str:
    """Write a DPoP challenge, which always names the algorithms that a proof may be signed with (RFC 9449 §7.1).

    If Bearer tokens are accepted too, the Bearer challenge is in a field of its own beside it.
    """
    return f"DPoP {parameters([*_pairs(settings, error, scopes, login), ('algs', ' '.join(algorithms))])}"


def _pairs(
    settings: ChallengeSettings, error: BearerError | DPoPError | None, scopes: Iterable[str], login: Login | None
) -> list[tuple[str, str]]:
    pairs = []
    if settings.realm is not None:
        pairs.append(("realm", settings.realm))
    if error is not None:
        pairs.append(("error", error.value))
    if login is not None:
        values, max_age = login
        if acr_values := " ".join(values):
            pairs.append(("acr_values", acr_values))
        if max_age is not None:
            pairs.append(("max_age", f"{max_age:.0f}"))
    if needed := " ".join(sorted(set(scopes))):
        pairs.append(("scope", needed))
    if settings.resource_metadata is not None:
        pairs.append(("resource_metadata", settings.resource_metadata))
    return pairs
