"""The decision: the function to read first.

1. No rule: refused. What is not allowed by a rule that says so is refused.
2. `Allow` is the permit: only `decide` makes one, and nothing is forwarded without one.
3. A refusal is a value with one reason; the first condition that fails, in the order below, names it.
4. Where a rule only reports, its refusal is an `Allow` that says what it would have been refused for.
5. A token that is bound passes only with `Proven`, the evidence that its sender holds what it is bound to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum, StrEnum
from typing import Final, final

from enforcer.errors import IntrospectionFailure
from enforcer.policy.requirement import Requirement
from enforcer.tokens.bearer import NoToken
from enforcer.tokens.dpop.possession import PossessionFault, Proven
from enforcer.tokens.introspection.response import ActiveToken, InactiveToken, VerificationResult


class Reason(StrEnum):
    """Why a request was allowed or denied. The values are metric labels."""

    OK = "ok"
    PUBLIC = "public"
    PREFLIGHT = "preflight"
    NO_RULE = "no_rule"
    MISSING_TOKEN = "missing_token"  # noqa: S105 - a metric label
    INVALID_REQUEST = "invalid_request"
    MALFORMED_TOKEN = "malformed_token"  # noqa: S105
    INACTIVE_TOKEN = "inactive_token"  # noqa: S105
    EXPIRED_TOKEN = "expired_token"  # noqa: S105
    NOT_YET_VALID = "not_yet_valid"
    UNPROVEN_TOKEN = "unproven_token"  # noqa: S105
    WRONG_SCHEME = "wrong_scheme"
    MISSING_PROOF = "missing_proof"
    INVALID_PROOF = "invalid_proof"
    MISMATCHED_PROOF = "mismatched_proof"
    STALE_PROOF = "stale_proof"
    REPLAYED_PROOF = "replayed_proof"
    TOO_MANY_WRONG_PROOFS = "too_many_wrong_proofs"
    TOO_MANY_PROOFS = "too_many_proofs"
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
    PREFLIGHT = "preflight"  # it is a CORS preflight, which never has one


Evidence = VerificationResult | NoToken | IntrospectionFailure | Unasked | PossessionFault
"""What is known of a request's token: what it is worth, or why that is not known, or nothing to its sender."""

Label = tuple[str, str]
"""Decision and reason, as a metric names them."""


@final
class Allow:
    """The permit to forward one request: `answer` is what the token of its sender is worth, None where nobody is known.

    `label` begins with `would_deny` where only the mode of the rule let it pass.
    """

    __slots__ = ("answer", "label")

    def __init__(self, answer: ActiveToken | None, label: Label) -> None:
        self.answer = answer
        self.label = label


_OK: Final = ("allow", str(Reason.OK))
_PUBLIC: Final = ("allow", str(Reason.PUBLIC))
_PREFLIGHT: Final = ("allow", str(Reason.PREFLIGHT))
WOULD_DENY: Final = "would_deny"
"""The decision where a request was forwarded that would be refused, were the rule enforced."""


@final
class Deny:
    """A refusal. `reported` is its label where the rule only reports."""

    __slots__ = ("label", "reason", "reported")

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        self.label: Label = ("error" if reason in _ERRORS else "deny", str(reason))
        self.reported: Label = (WOULD_DENY, str(reason))

    def __repr__(self) -> str:
        return f"Deny({self.reason})"


ALLOWED: Final = frozenset({Reason.OK, Reason.PUBLIC, Reason.PREFLIGHT})
"""Reasons to allow; all others are to deny."""
_FAULTS: Final = {Reason(f"introspection_{failure}"): failure for failure in IntrospectionFailure}
_ERRORS: Final = frozenset({*_FAULTS, Reason.TOO_MANY_PROOFS})
NO_ANSWER: Final = frozenset({*_FAULTS, Reason.TOO_MANY_UNSEEN_TOKENS})
"""Reasons of the moment: nobody said what the token is worth, and it is worth trying again."""
OF_A_PROOF: Final = frozenset(
    {
        *(Reason.MISSING_PROOF, Reason.INVALID_PROOF, Reason.MISMATCHED_PROOF),
        *(Reason.STALE_PROOF, Reason.REPLAYED_PROOF, Reason.TOO_MANY_WRONG_PROOFS, Reason.TOO_MANY_PROOFS),
    }
)
"""Reasons that lie in one request's DPoP proof, and in no rule."""
_DENIALS: Final[Mapping[Reason, Deny]] = {reason: Deny(reason) for reason in Reason if reason not in ALLOWED}
_UNPROVEN: Final = {
    PossessionFault.UNBOUND: Reason.WRONG_SCHEME,
    PossessionFault.SCHEME: Reason.WRONG_SCHEME,
    PossessionFault.UNKNOWN: Reason.UNPROVEN_TOKEN,
    PossessionFault.CERTIFICATE: Reason.UNPROVEN_TOKEN,
    PossessionFault.KEY: Reason.UNPROVEN_TOKEN,
    PossessionFault.MISSING: Reason.MISSING_PROOF,
    PossessionFault.METHOD: Reason.MISMATCHED_PROOF,
    PossessionFault.URL: Reason.MISMATCHED_PROOF,
    PossessionFault.TOKEN: Reason.MISMATCHED_PROOF,
    PossessionFault.TIME: Reason.STALE_PROOF,
    PossessionFault.REPLAYED: Reason.REPLAYED_PROOF,
    PossessionFault.FLOOD: Reason.TOO_MANY_WRONG_PROOFS,
    PossessionFault.FULL: Reason.TOO_MANY_PROOFS,
}
_UNKNOWN: Final[Mapping[NoToken | IntrospectionFailure | Unasked | PossessionFault, Deny]] = {
    NoToken.MISSING: _DENIALS[Reason.MISSING_TOKEN],
    NoToken.INVALID_REQUEST: _DENIALS[Reason.INVALID_REQUEST],
    NoToken.MALFORMED: _DENIALS[Reason.MALFORMED_TOKEN],
    Unasked.TOO_MANY: _DENIALS[Reason.TOO_MANY_UNSEEN_TOKENS],
    Unasked.PREFLIGHT: _DENIALS[Reason.MISSING_TOKEN],
    **{failure: _DENIALS[reason] for reason, failure in _FAULTS.items()},
    **{fault: _DENIALS[_UNPROVEN.get(fault, Reason.INVALID_PROOF)] for fault in PossessionFault},
}
_NO_RULE: Final = _DENIALS[Reason.NO_RULE]
_INACTIVE: Final = _DENIALS[Reason.INACTIVE_TOKEN]
_EXPIRED: Final = _DENIALS[Reason.EXPIRED_TOKEN]
_EARLY: Final = _DENIALS[Reason.NOT_YET_VALID]
UNPROVEN: Final = _DENIALS[Reason.UNPROVEN_TOKEN]
"""The token is bound, and whether its sender holds what it is bound to is not known yet: see `decide_bound`."""
_SCOPE: Final = _DENIALS[Reason.INSUFFICIENT_SCOPE]


def decide(
    rule: Requirement | None,
    evidence: Evidence,
    segments: Sequence[bytes],
    now: float,
    reports: bool = False,
    proven: Proven | Allow | None = None,
) -> Allow | Deny:
    """Judge a request: by its rule, by what its token is worth, at the time `now` (seconds since the epoch).

    `segments` are the path's; `proven` says for which token possession was shown, as an earlier permit does. With
    `reports` whatever would be a Deny is an Allow, labelled with the reason; but for UNPROVEN, which does not say yet
    what would be.
    """
    if rule is None:
        denied = _NO_RULE
    elif rule.public:
        return Allow(None, _PUBLIC)
    elif isinstance(evidence, ActiveToken):
        if evidence.expires <= now:
            failed: Deny | None = _EXPIRED
        elif evidence.not_before > now:
            failed = _EARLY
        elif evidence.bound and not _is_proven(evidence, proven):
            return UNPROVEN
        elif rule.narrow:
            failed = _narrowed(rule, evidence, segments)
        else:
            failed = None if rule.scopes <= evidence.scopes else _SCOPE
        if failed is None:
            return Allow(evidence, _OK)
        denied = failed
    elif evidence is Unasked.PREFLIGHT and rule.preflight:
        return Allow(None, _PREFLIGHT)
    else:
        denied = _INACTIVE if isinstance(evidence, InactiveToken) else _UNKNOWN[evidence]
    return Allow(_holder(evidence, denied, now, proven), denied.reported) if reports else denied


def _is_proven(answer: ActiveToken, proven: Proven | Allow | None) -> bool:
    return proven is not None and proven.answer is answer


def _holder(evidence: Evidence, denied: Deny, now: float, proven: Proven | Allow | None) -> ActiveToken | None:
    """Return what is known of the sender of a request that passes though it is denied: nothing by a bad token."""
    if not isinstance(evidence, ActiveToken) or denied.reason in (Reason.WRONG_ISSUER, Reason.WRONG_AUDIENCE):
        return None
    theirs = not evidence.bound or _is_proven(evidence, proven)
    return evidence if theirs and evidence.not_before <= now < evidence.expires else None


def decide_bound(
    rule: Requirement | None,
    answer: VerificationResult,
    show: Callable[[ActiveToken], Proven | PossessionFault],
    segments: Sequence[bytes],
    now: float,
    reports: bool = False,
) -> Allow | Deny:
    """Judge a request whose token must be bound: by what its sender can `show` of what it is bound to.

    They are asked for that where the token is worth something.
    """
    if isinstance(answer, ActiveToken) and not answer.bound:
        return decide(rule, PossessionFault.UNBOUND, segments, now, reports)
    verdict = decide(rule, answer, segments, now, reports)
    if verdict is not UNPROVEN or not isinstance(answer, ActiveToken):
        return verdict
    shown = show(answer)
    if isinstance(shown, Proven):
        return decide(rule, answer, segments, now, reports, shown)
    return decide(rule, shown, segments, now, reports)


def _narrowed(rule: Requirement, answer: ActiveToken, segments: Sequence[bytes]) -> Deny | None:
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
