"""A decision as one line of the debug log: rule, token, verification, and the condition that decided. Never a token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf

from enforcer.counters import NO_ROUTE
from enforcer.decision_log.record import DecisionRecord
from enforcer.errors import IntrospectionFailure
from enforcer.policy.decision import Reason
from enforcer.policy.requirement import Requirement
from enforcer.tokens.claims import ActiveToken
from enforcer.tokens.dpop.possession import PossessionFault, Proven
from enforcer.tokens.introspection.response import InactiveToken
from enforcer.tokens.jwt.fault import EXPLANATIONS, RejectedToken


def describe(record: DecisionRecord, requirement: Requirement | None, place: str, age: float) -> str:
    """Return the steps of a decision.

    `place` is where the token was, with its scheme, empty if there is none; `age` is that of the verification result
    when the request came, in seconds: 0 if it is new, infinite if there is none.
    """
    steps = [
        f"request {(record.request_id or b'-').decode()} from {record.client}",
        f"{record.method.decode('latin-1')} {record.path.decode('latin-1')} at {record.host.decode('latin-1') or '-'}",
        f"rule: {NO_ROUTE if record.rule is None else record.rule.name}",
        f"token: {'; '.join(_token(record, place, age))}",
        f"decision: {', '.join(record.label)}",
        *_failed_conditions(record, requirement),
    ]
    return " | ".join(steps)


def _token(record: DecisionRecord, place: str, age: float) -> Iterator[str]:
    evidence, possession = record.evidence, record.possession
    yield f"in {place}" if place else "none, or none that can be read"
    if age < inf:
        yield f"from the cache, {age:.1f} s old" if age else "verified now"
    if isinstance(evidence, ActiveToken):
        yield f"active, subject {evidence.subject}, client {evidence.client_id}"
    elif isinstance(evidence, RejectedToken):
        yield f"rejected, {EXPLANATIONS[evidence.fault]}"
    elif isinstance(evidence, InactiveToken):
        yield "inactive"
    elif isinstance(evidence, IntrospectionFailure) and record.detail:
        yield f"not verified, {record.detail}"
    if possession is not None:
        yield "possession proven" if isinstance(possession, Proven) else f"possession: {_text(possession)}"


def _text(fault: PossessionFault) -> str:
    return fault.replace("_", " ")


def _failed_conditions(record: DecisionRecord, requirement: Requirement | None) -> Iterator[str]:
    if record.refusal is not None:
        yield f"{record.refusal.status}, {record.refusal.detail}"
    if record.label[1] == Reason.OTHER_TARGET and record.detail:
        yield f"of {record.detail}"
    if record.label[1] == Reason.CLAIM_MISMATCH and requirement is not None:
        names = _failed_claims(record, requirement)
        yield f"condition not met: {', '.join(names)}"


def _failed_claims(record: DecisionRecord, requirement: Requirement) -> Sequence[str]:
    token = record.evidence
    if not isinstance(token, ActiveToken):
        return ()
    request = record.view(record.rule.templates[0].count("/") if record.rule is not None else 0)
    names = [f"claims.{claim.name}" for claim in requirement.claims if not claim.holds(token.claims, request)]
    return names or ["any_of"]
