"""Reports why a past request was denied, from its decision record.

The conditions are those of `explain`, checked against the verification result of that time, so that the report cannot
differ from the decision.
"""

from __future__ import annotations

from dataclasses import dataclass

from enforcer.analysis import explain
from enforcer.analysis.evaluator import Policy
from enforcer.analysis.explain import Condition, Evaluation, Explanation, Possession, RefusalSummary
from enforcer.decision_log.record import DecisionRecord, Refusal, log_line
from enforcer.errors import IntrospectionFailure
from enforcer.policy.decision import WOULD_DENY, Reason, SkippedVerification
from enforcer.tokens.bearer import NoToken
from enforcer.tokens.claims import ActiveToken
from enforcer.tokens.dpop.possession import PossessionFault, Proven
from enforcer.tokens.introspection.response import InactiveToken


@dataclass(frozen=True, slots=True)
class DenialReport:
    """A denial and its reasons; the JSON of `GET /decisions/ID` has the same members.

    `time` is RFC 3339; `path` as sent, without query, and only its beginning if it could not be read; `rule`,
    `decision` and `reason` as metrics name them; `client` is the address of the client, `host` the value of Host, and
    `subject` that of the token, if it was active; `status`, `detail` and `challenges` are those of the refusal, or of
    the one that enforcing would give.
    """

    time: str
    request_id: str | None
    method: str
    path: str
    rule: str
    decision: str
    reason: str
    status: int | None
    detail: str | None
    challenges: tuple[str, ...]
    conditions: tuple[Condition, ...]
    client: str | None = None
    host: str | None = None
    subject: str | None = None


def report_denial(record: DecisionRecord, time: str) -> DenialReport:
    """Return the report of a decision; `time` is that of the decision, as RFC 3339."""
    line = log_line(record, time)
    refusal = record.refusal
    return DenialReport(
        time=time,
        request_id=line.request_id,
        method=line.method,
        path=line.path,
        rule=line.route,
        decision=line.decision,
        reason=line.reason,
        status=None if refusal is None else refusal.status,
        detail=None if refusal is None else _detail(record, refusal),
        challenges=() if refusal is None else refusal.challenges,
        conditions=tuple(_conditions(record)),
        client=line.client,
        host=line.host,
        subject=line.subject,
    )


def _detail(record: DecisionRecord, refusal: Refusal) -> str:
    """Return what the refusal says, and what clients need not know.

    It is where the readings of an ambiguous path lead, or which other target of the request is denied, by which rule.
    """
    ambiguous = record.evidence is SkippedVerification.AMBIGUOUS_PATH
    if record.detail and (ambiguous or record.label[1] == Reason.OTHER_TARGET):
        return f"{refusal.detail}{': ' if ambiguous else '; for '}{record.detail}"
    return refusal.detail


def to_explanation(report: DenialReport) -> Explanation:
    """Return the report as an explanation, for `explanation_text.write`."""
    status = report.status
    reply = None if status is None else RefusalSummary(status, report.detail or "", report.challenges, None)
    forwarded = report.decision == WOULD_DENY
    return Explanation(
        method=report.method,
        target=report.path,
        host=report.host or "",
        preflight="",
        conditions=report.conditions,
        judgement=Evaluation(
            rule=report.rule,
            decision=report.decision,
            reason=report.reason,
            reply=None if forwarded else reply,
            enforced=reply if forwarded else None,
        ),
    )


def _conditions(record: DecisionRecord) -> tuple[Condition, ...]:
    evidence, refusal = record.evidence, record.refusal
    if record.rule is None or evidence is None or refusal is None:
        return ()
    entries = Policy([(record.rule, "")], hierarchy=record.hierarchy).entries
    request = record.view(len(entries[0].pattern.path.segments))
    entry = next((entry for entry in entries if entry.pattern.path.matches(request.segments)), entries[0])
    if evidence is SkippedVerification.PREFLIGHT and explain.needs_preflight(entry):
        return explain.preflight_conditions(entry, request)
    token: explain.TokenEvidence
    if isinstance(evidence, ActiveToken | InactiveToken | NoToken):
        token = evidence
    else:
        failure = evidence if isinstance(evidence, IntrospectionFailure) else None
        token = explain.UnverifiedToken(failure, refusal, record.detail)
    bound = isinstance(evidence, ActiveToken) and evidence.bound
    possession = _possession(record.possession) if bound or record.possession is not None else None
    return tuple(explain.conditions(entry, request, token, possession, record.time))


def _possession(result: Proven | PossessionFault | None) -> Possession:
    if result is None:
        return Possession("not checked", False)
    return Possession(
        result.replace("_", " ") if isinstance(result, PossessionFault) else "proven", isinstance(result, Proven)
    )
