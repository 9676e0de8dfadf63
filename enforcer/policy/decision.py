"""The decision: the function to read first.

1. No rule: refused. What is not allowed by a rule that says so is refused.
2. `Allow` is the permit: only `decide` makes one, and nothing is forwarded without one.
3. A refusal is a value with one reason; the first condition that fails, in the order below, names it.
4. Where a rule only reports, its refusal is an `Allow` that says what it would have been refused for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum, StrEnum
from typing import Final, final

from enforcer.errors import IntrospectionFailure
from enforcer.policy.rules import Requirement
from enforcer.tokens.answer import Active, Answer, Inactive
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
    INTROSPECTION_TIMEOUT = "introspection_timeout"
    INTROSPECTION_UNAVAILABLE = "introspection_unavailable"
    INTROSPECTION_REFUSED = "introspection_refused"
    INTROSPECTION_MALFORMED = "introspection_malformed"
    INTROSPECTION_CIRCUIT_OPEN = "introspection_circuit_open"
    TOO_MANY_UNSEEN_TOKENS = "too_many_unseen_tokens"


class Unasked(Enum):
    """Why nobody was asked what a token is worth."""

    TOO_MANY = "too_many"  # the client has sent too many tokens that were never seen before


Evidence = Answer | NoToken | IntrospectionFailure | Unasked
"""What is known of a request's token: what it is worth, or why that is not known."""

Label = tuple[str, str]
"""Decision and reason, as a metric names them."""


@final
class Allow:
    """The permit to forward one request: `answer` is what the token of its sender is worth, None where nobody is known.

    `label` begins with `would_deny` where only the mode of the rule let it pass.
    """

    __slots__ = ("answer", "label")

    def __init__(self, answer: Active | None, label: Label) -> None:
        self.answer = answer
        self.label = label


_OK: Final = ("allow", str(Reason.OK))
_PUBLIC: Final = ("allow", str(Reason.PUBLIC))
WOULD_DENY: Final = "would_deny"
"""The decision where a request was forwarded that would be refused, were the rule enforced."""


@final
class Deny:
    """A refusal. `reported` is its label where the rule only reports."""

    __slots__ = ("label", "reason", "reported")

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        self.label: Label = ("error" if reason in _FAULTS else "deny", str(reason))
        self.reported: Label = (WOULD_DENY, str(reason))

    def __repr__(self) -> str:
        return f"Deny({self.reason})"


_FAULTS: Final = {Reason(f"introspection_{failure}"): failure for failure in IntrospectionFailure}
NO_ANSWER: Final = frozenset({*_FAULTS, Reason.TOO_MANY_UNSEEN_TOKENS})
"""Reasons of the moment: nobody said what the token is worth, and it is worth trying again."""
_DENIALS: Final[Mapping[Reason, Deny]] = {
    reason: Deny(reason) for reason in Reason if reason not in (Reason.OK, Reason.PUBLIC)
}
_UNKNOWN: Final[Mapping[NoToken | IntrospectionFailure | Unasked, Deny]] = {
    NoToken.MISSING: _DENIALS[Reason.MISSING_TOKEN],
    NoToken.INVALID_REQUEST: _DENIALS[Reason.INVALID_REQUEST],
    NoToken.MALFORMED: _DENIALS[Reason.MALFORMED_TOKEN],
    Unasked.TOO_MANY: _DENIALS[Reason.TOO_MANY_UNSEEN_TOKENS],
    **{failure: _DENIALS[reason] for reason, failure in _FAULTS.items()},
}
_NO_RULE: Final = _DENIALS[Reason.NO_RULE]
_INACTIVE: Final = _DENIALS[Reason.INACTIVE_TOKEN]
_EXPIRED: Final = _DENIALS[Reason.EXPIRED_TOKEN]
_EARLY: Final = _DENIALS[Reason.NOT_YET_VALID]
_UNPROVEN: Final = _DENIALS[Reason.UNPROVEN_TOKEN]
_SCOPE: Final = _DENIALS[Reason.INSUFFICIENT_SCOPE]


def decide(
    rule: Requirement | None, evidence: Evidence, segments: Sequence[bytes], now: float, reports: bool = False
) -> Allow | Deny:
    """Judge a request: by its rule, by what its token is worth, at the time `now` (seconds since the epoch).

    `segments` are the path's. With `reports` whatever would be a Deny is an Allow, labelled with the reason.
    """
    if rule is None:
        denied = _NO_RULE
    elif rule.public:
        return Allow(None, _PUBLIC)
    elif isinstance(evidence, Active):
        if evidence.expires <= now:
            failed: Deny | None = _EXPIRED
        elif evidence.not_before > now:
            failed = _EARLY
        elif evidence.bound:
            # RFC 7800: the holder must prove possession of a key, and no proof is checked yet
            failed = _UNPROVEN
        elif rule.narrow:
            failed = _narrowed(rule, evidence, segments)
        else:
            failed = None if rule.scopes <= evidence.scopes else _SCOPE
        if failed is None:
            return Allow(evidence, _OK)
        denied = failed
    else:
        denied = _INACTIVE if isinstance(evidence, Inactive) else _UNKNOWN[evidence]
    return Allow(_holder(evidence, denied, now), denied.reported) if reports else denied


def _holder(evidence: Evidence, denied: Deny, now: float) -> Active | None:
    """Return what is known of the sender of a request that passes though it is denied: nothing by a bad token."""
    if not isinstance(evidence, Active) or denied.reason in (Reason.WRONG_ISSUER, Reason.WRONG_AUDIENCE):
        return None
    return evidence if evidence.not_before <= now < evidence.expires and not evidence.bound else None


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
