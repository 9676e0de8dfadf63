"""The challenge of a refusal."""

from __future__ import annotations

from dataclasses import dataclass

from enforcer.units import Section, Switch


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeSettings(Section):
    """Parameters of a challenge, besides the error."""

    realm: str | None = None
    """Name of the protection space (RFC 9110 §11.5). Default: no `realm`."""
    scope: Switch = False
    """Whether the challenge for a request without a token names the scopes that the rule requires (RFC 6750 §3)."""
    resource_metadata: str | None = None
    """URL of the protected resource metadata (RFC 9728 §5.1), for rules that belong to none of `resources`. Default: no
    `resource_metadata`."""
