"""The decision: the function to read first.

1. No rule: refused. What is not allowed by a rule that says so is refused.
2. `Allow` is the permit: only `decide` makes one, and nothing is forwarded without one.
3. A refusal is a value with one reason; the first condition that fails, in the order below, names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, final

from enforcer.policy.rules import Requirement
from enforcer.tokens.answer import Active, Answer
from enforcer.tokens.bearer import NoToken


class Reason(StrEnum):
    """Why a request was allowed or denied. The values are metric labels."""

    OK = "ok"
    PUBLIC = "public"
    NO_RULE = "no_rule"
    MISSING_TOKEN = "missing_token"  # noqa: S105 - a metric label
    INVALID_REQUEST = "invalid_request"
    MALFORMED_TOKEN = "malformed_token"  # noqa: S105
    INACTIVE_TOKEN = "inactive_token"  # noqa: S105
    EXPIRED_TOKEN = "expired_token"  # noqa: S105
    NOT_YET_VALID = "not_yet_valid"
    UNPROVEN_TOKEN = "unproven_token"  # noqa: S105
    WRONG_ISSUER = "wrong_issuer"
    WRONG_AUDIENCE = "wrong_audience"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    CLIENT_MISMATCH = "client_mismatch"
    CLAIM_MISMATCH = "claim_mismatch"


@final
class Allow:
    """The permit to forward one request; `answer` is None where the rule is public."""

    __slots__ = ("answer",)

    def __init__(self, answer: Active | None) -> None:
        self.answer = answer

    @property
    def label(self) -> tuple[str, str]:
        """Decision and reason, as a metric names them."""
        return _PUBLIC if self.answer is None else _OK


_OK: Final = ("allow", str(Reason.OK))
_PUBLIC: Final = ("allow", str(Reason.PUBLIC))


@final
class Deny:
    """A refusal."""

    __slots__ = ("label", "reason")

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        self.label = ("deny", str(reason))
        """Decision and reason, as a metric names them."""

    def __repr__(self) -> str:
        return f"Deny({self.reason})"


_DENIALS: Final = {reason: Deny(reason) for reason in Reason if reason not in (Reason.OK, Reason.PUBLIC)}
_WITHOUT_TOKEN: Final = {
    NoToken.MISSING: _DENIALS[Reason.MISSING_TOKEN],
    NoToken.INVALID_REQUEST: _DENIALS[Reason.INVALID_REQUEST],
    NoToken.MALFORMED: _DENIALS[Reason.MALFORMED_TOKEN],
}
_INACTIVE: Final = _DENIALS[Reason.INACTIVE_TOKEN]
_EXPIRED: Final = _DENIALS[Reason.EXPIRED_TOKEN]
_EARLY: Final = _DENIALS[Reason.NOT_YET_VALID]
_UNPROVEN: Final = _DENIALS[Reason.UNPROVEN_TOKEN]
_SCOPE: Final = _DENIALS[Reason.INSUFFICIENT_SCOPE]


def decide(rule: Requirement | None, evidence: Answer | NoToken, segments: Sequence[bytes], now: float) -> Allow | Deny:
    """Judge a request: by its rule, by what its token is worth, at the time `now` (seconds since the epoch).

    `evidence` is what the authorization server says of the token, or why there is none; `segments` are the path's.
    """
    if rule is None:
        return _DENIALS[Reason.NO_RULE]
    if rule.public:
        return Allow(None)
    if isinstance(evidence, NoToken):
        return _WITHOUT_TOKEN[evidence]
    if not isinstance(evidence, Active):
        return _INACTIVE
    if evidence.expires <= now:
        return _EXPIRED
    if evidence.not_before > now:
        return _EARLY
    if evidence.bound:
        # RFC 7800: the holder must prove possession of a key, and no proof is checked yet
        return _UNPROVEN
    if rule.narrow:
        denied = _narrowed(rule, evidence, segments)
        if denied is not None:
            return denied
    elif not rule.scopes <= evidence.scopes:
        return _SCOPE
    return Allow(evidence)


def _narrowed(rule: Requirement, answer: Active, segments: Sequence[bytes]) -> Deny | None:
    if rule.issuer and answer.issuer not in rule.issuer:
        return _DENIALS[Reason.WRONG_ISSUER]
    if rule.audience and not rule.audience & answer.audience:
        return _DENIALS[Reason.WRONG_AUDIENCE]
    if not rule.scopes <= answer.scopes or (rule.any_scope and not rule.any_scope & answer.scopes):
        return _SCOPE
    if rule.client_ids and answer.client_id not in rule.client_ids:
        return _DENIALS[Reason.CLIENT_MISMATCH]
    if not rule.meets_claims(answer, segments):
        return _DENIALS[Reason.CLAIM_MISMATCH]
    return None
