"""The decision: the function to read after `proxy/authorize.py`.

1. Default deny: a request that no rule allows is denied.
2. `Allow` is the permit: only `decide` makes one, and nothing is forwarded without one.
3. `Deny` has one reason: the first condition, in the order below, that is not met.
4. In report mode, a denied request gets an `Allow` whose label has the reason of the denial.
5. A sender-constrained token is accepted only with `Proven`, the evidence that its sender holds the key or certificate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, StrEnum
from typing import Final, final

from enforcer.errors import IntrospectionFailure
from enforcer.policy.request_view import RequestView
from enforcer.policy.requirement import Conjunction, Requirement
from enforcer.tokens.bearer import NoToken
from enforcer.tokens.claims import ActiveToken
from enforcer.tokens.dpop.possession import PossessionFault, Proven
from enforcer.tokens.introspection.response import InactiveToken, VerificationResult
from enforcer.tokens.jwt.fault import JwtFault, RejectedToken


class Reason(StrEnum):
    """Why a request was allowed or denied. The values are metric labels."""

    OK = "ok"
    PUBLIC = "public"
    PREFLIGHT = "preflight"
    NO_RULE = "no_rule"
    AMBIGUOUS_PATH = "ambiguous_path"
    NOBODY = "nobody"
    MISSING_TOKEN = "missing_token"  # noqa: S105 - a metric label
    INVALID_REQUEST = "invalid_request"
    CROSS_SITE_REQUEST = "cross_site_request"
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
    INSUFFICIENT_AUTHENTICATION = "insufficient_user_authentication"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    CLIENT_MISMATCH = "client_mismatch"
    REQUEST_MISMATCH = "request_mismatch"
    CLAIM_MISMATCH = "claim_mismatch"
    OTHER_TARGET = "other_target"
    INTROSPECTION_TIMEOUT = "introspection_timeout"
    INTROSPECTION_UNAVAILABLE = "introspection_unavailable"
    INTROSPECTION_REFUSED = "introspection_refused"
    INTROSPECTION_MALFORMED = "introspection_malformed"
    INTROSPECTION_CIRCUIT_OPEN = "introspection_circuit_open"
    TOO_MANY_UNSEEN_TOKENS = "too_many_unseen_tokens"


class SkippedVerification(Enum):
    """Why a token was not verified."""

    TOO_MANY = "too_many"  # the client has sent too many unseen tokens
    PREFLIGHT = "preflight"  # a CORS preflight never has a token
    AMBIGUOUS_PATH = "ambiguous_path"  # nobody knows which rule the app would have applied


Evidence = VerificationResult | NoToken | IntrospectionFailure | SkippedVerification | PossessionFault
"""Knowledge about a request's token: the verification result, or why there is none, or why possession failed."""

Label = tuple[str, str]
"""Decision and reason, as in metrics."""


@final
class Allow:
    """The permit to forward one request. `token` is the sender's active token, None if the sender is unknown.

    The decision in `label` is `would_deny` if the request is forwarded only because of report mode.
    """

    __slots__ = ("label", "token")

    def __init__(self, token: ActiveToken | None, label: Label) -> None:
        self.token = token
        self.label = label


_OK: Final = ("allow", str(Reason.OK))
_PUBLIC: Final = ("allow", str(Reason.PUBLIC))
_PREFLIGHT: Final = ("allow", str(Reason.PREFLIGHT))
WOULD_DENY: Final = "would_deny"
"""The decision for a request that is forwarded only because of report mode."""


@final
class Deny:
    """A denial. `reported` is its label in report mode."""

    __slots__ = ("label", "reason", "reported")

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        self.label: Label = ("error" if reason in _ERRORS else "deny", str(reason))
        self.reported: Label = (WOULD_DENY, str(reason))

    def __repr__(self) -> str:
        return f"Deny({self.reason})"


ALLOWED: Final = frozenset({Reason.OK, Reason.PUBLIC, Reason.PREFLIGHT})
"""Reasons to allow; all other reasons deny."""
_FAULTS: Final = {Reason(f"introspection_{failure}"): failure for failure in IntrospectionFailure}
_ERRORS: Final = frozenset({*_FAULTS, Reason.TOO_MANY_PROOFS})
NO_ANSWER: Final = frozenset({*_FAULTS, Reason.TOO_MANY_UNSEEN_TOKENS})
"""Temporary reasons: the token could not be verified, and the client may retry."""
OF_A_PROOF: Final = frozenset(
    {
        *(Reason.MISSING_PROOF, Reason.INVALID_PROOF, Reason.MISMATCHED_PROOF),
        *(Reason.STALE_PROOF, Reason.REPLAYED_PROOF, Reason.TOO_MANY_WRONG_PROOFS, Reason.TOO_MANY_PROOFS),
    }
)
"""Reasons that depend on the request's DPoP proof, not on a rule."""
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
_UNKNOWN: Final[Mapping[NoToken | IntrospectionFailure | SkippedVerification | PossessionFault, Deny]] = {
    NoToken.MISSING: _DENIALS[Reason.MISSING_TOKEN],
    NoToken.INVALID_REQUEST: _DENIALS[Reason.INVALID_REQUEST],
    NoToken.CROSS_SITE: _DENIALS[Reason.CROSS_SITE_REQUEST],
    NoToken.MALFORMED: _DENIALS[Reason.MALFORMED_TOKEN],
    SkippedVerification.TOO_MANY: _DENIALS[Reason.TOO_MANY_UNSEEN_TOKENS],
    SkippedVerification.PREFLIGHT: _DENIALS[Reason.MISSING_TOKEN],
    SkippedVerification.AMBIGUOUS_PATH: _DENIALS[Reason.AMBIGUOUS_PATH],
    **{failure: _DENIALS[reason] for reason, failure in _FAULTS.items()},
    **{fault: _DENIALS[_UNPROVEN.get(fault, Reason.INVALID_PROOF)] for fault in PossessionFault},
}
_NO_RULE: Final = _DENIALS[Reason.NO_RULE]
_AMBIGUOUS_PATH: Final = _DENIALS[Reason.AMBIGUOUS_PATH]
_INACTIVE: Final = _DENIALS[Reason.INACTIVE_TOKEN]
_EXPIRED: Final = _DENIALS[Reason.EXPIRED_TOKEN]
_REJECTED: Final = {
    JwtFault.EXPIRED: _EXPIRED,
    JwtFault.NOT_YET_VALID: _DENIALS[Reason.NOT_YET_VALID],
    JwtFault.ISSUER: _DENIALS[Reason.WRONG_ISSUER],
}
"""Denials of rejected JWTs with a reason of its own; any other fault means that there is no valid token."""
OTHER_TARGET: Final = _DENIALS[Reason.OTHER_TARGET]
"""The rules do not allow a method or target that a field of the request names: see `decide_again`."""
UNPROVEN: Final = _DENIALS[Reason.UNPROVEN_TOKEN]
"""The token is bound, and possession is not checked yet: see `decide_bound`."""
_SCOPE: Final = _DENIALS[Reason.INSUFFICIENT_SCOPE]
_NOBODY: Final = _DENIALS[Reason.NOBODY]
_REQUEST: Final = _DENIALS[Reason.REQUEST_MISMATCH]
_CLAIM: Final = _DENIALS[Reason.CLAIM_MISMATCH]


def decide(
    rule: Requirement | None,
    evidence: Evidence,
    request: RequestView,
    now: float,
    reports: bool = False,
    proven: Proven | Allow | None = None,
) -> Allow | Deny:
    """Decide a request by its rule and its token, at the time `now` (seconds since the epoch).

    `request` is read only if the rule says so (`reads_request`). `proven` names the token whose possession is proven;
    so does an earlier permit.
    With `reports` (report mode) each Deny becomes an Allow labelled with the reason, except UNPROVEN, after which the
    caller checks possession and decides again.
    """
    if rule is None:
        denied = _AMBIGUOUS_PATH if evidence is SkippedVerification.AMBIGUOUS_PATH else _NO_RULE
    elif rule.public and (not rule.limited or rule.meets_limits(request)):
        return Allow(None, _PUBLIC)
    elif evidence is SkippedVerification.PREFLIGHT and rule.preflight and rule.meets_address(request):
        # A preflight has neither the fields of the request that it announces nor a token.
        return Allow(None, _PREFLIGHT)
    elif rule.public:
        denied = _REQUEST
    elif rule.nobody:
        denied = _NOBODY
    elif isinstance(evidence, ActiveToken):
        if evidence.expires <= now:
            failed: Deny | None = _EXPIRED
        elif evidence.bound and not _is_proven(evidence, proven):
            return UNPROVEN
        elif rule.narrow:
            failed = failure(rule, evidence, request, now)
        else:
            failed = None if rule.scopes <= evidence.scopes else _SCOPE
        if failed is None:
            return Allow(evidence, _OK)
        denied = failed
    else:
        denied = _inactive(evidence) if isinstance(evidence, InactiveToken) else _UNKNOWN[evidence]
    return Allow(_holder(evidence, denied, now, proven), denied.reported) if reports else denied


def _inactive(evidence: InactiveToken) -> Deny:
    return _REJECTED.get(evidence.fault, _INACTIVE) if isinstance(evidence, RejectedToken) else _INACTIVE


def _is_proven(token: ActiveToken, proven: Proven | Allow | None) -> bool:
    return proven is not None and proven.token is token


def _holder(evidence: Evidence, denied: Deny, now: float, proven: Proven | Allow | None) -> ActiveToken | None:
    """Return the token that identifies the sender of a denied request in report mode; None if it is not valid."""
    if not isinstance(evidence, ActiveToken) or denied.reason in (Reason.WRONG_ISSUER, Reason.WRONG_AUDIENCE):
        return None
    held = not evidence.bound or _is_proven(evidence, proven)
    return evidence if held and now < evidence.expires else None


def decide_bound(
    rule: Requirement | None,
    token: VerificationResult,
    check_possession: Callable[[ActiveToken], Proven | PossessionFault],
    request: RequestView,
    now: float,
    reports: bool = False,
) -> Allow | Deny:
    """Decide a request whose token must be bound, by what `check_possession` returns.

    Possession is checked only if the token meets every other condition on its state.
    """
    if isinstance(token, ActiveToken) and not token.bound:
        return decide(rule, PossessionFault.UNBOUND, request, now, reports)
    decision = decide(rule, token, request, now, reports)
    if decision is not UNPROVEN or not isinstance(token, ActiveToken):
        return decision
    possession = check_possession(token)
    if isinstance(possession, Proven):
        return decide(rule, token, request, now, reports, possession)
    return decide(rule, possession, request, now, reports)


def decide_again(
    rule: Requirement | None,
    permit: Allow,
    without_token: Evidence | None,
    request: RequestView,
    permitted_at: float,
    reports: bool,
) -> Allow | Deny:
    """Decide a further target of a permitted request, or a permitted stream again, by the permit's token.

    `without_token` is the evidence if the token means nothing to this rule, None if it does. `permitted_at` is when the
    token was valid, in seconds since the epoch.
    """
    token = permit.token
    if token is None or without_token is not None:
        return decide(rule, without_token or NoToken.MISSING, request, 0.0, reports)
    return decide(rule, token, request, permitted_at, reports, permit)


def failure(rule: Conjunction, token: ActiveToken, request: RequestView, now: float) -> Deny | None:
    """Return the denial by the first condition that an active token or the request does not meet; None if all are met.

    The first ones are those that another token, or another login, would meet.
    """
    if rule.issuer and token.issuer not in rule.issuer:
        return _DENIALS[Reason.WRONG_ISSUER]
    if rule.audience and not rule.audience & token.audience:
        return _DENIALS[Reason.WRONG_AUDIENCE]
    if not rule.meets_authentication(token, now):
        return _DENIALS[Reason.INSUFFICIENT_AUTHENTICATION]
    if not rule.meets_scopes(token, request):
        return _SCOPE
    if rule.client_ids and token.client_id not in rule.client_ids:
        return _DENIALS[Reason.CLIENT_MISMATCH]
    if not rule.meets_limits(request):
        return _REQUEST
    if not rule.meets_claims(token, request):
        return _CLAIM
    options = rule.alternatives
    if options and not any(failure(option, token, request, now) is None for option in options):
        return _SCOPE if any(option.needs_only_scopes for option in options) else _CLAIM
    return None
