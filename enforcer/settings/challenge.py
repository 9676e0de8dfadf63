"""The challenge of a refusal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from enforcer.units import CLOSED, Switch


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeSettings:
    """What a challenge says besides the error."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    realm: str | None = None
    """The protection space's name (RFC 9110 §11.5); absent unless set."""
    scope: Switch = False
    """Whether a challenge for a request without a token names the scopes that the rule needs (RFC 6750 §3)."""
    resource_metadata: str | None = None
    """URL of the protected resource's metadata (RFC 9728 §5.1); absent unless set."""
