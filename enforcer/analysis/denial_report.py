"""Why a request was refused, told when somebody asks.

The conditions are those that `explain` tells of, tried on what the token was worth then: it can come to no other
result than the decision.
"""

from __future__ import annotations

from dataclasses import dataclass

from enforcer.analysis.evaluator import Policy
from enforcer.analysis.explain import (
    Condition,
    Explanation,
    Judgement,
    Possession,
    Reply,
    Shown,
    Unknown,
    conditions,
)
from enforcer.decision_log.record import DecisionRecord, log_line
from enforcer.errors import IntrospectionFailure
from enforcer.policy.decision import WOULD_DENY
from enforcer.tokens.bearer import NoToken
from enforcer.tokens.dpop.possession import PossessionFault, Proven
from enforcer.tokens.introspection.response import ActiveToken, InactiveToken


@dataclass(frozen=True, slots=True)
class Hindsight:
    """A decision and why it was taken.

    `time` is RFC 3339; `path` as sent, without query, empty where it was not read; `rule`, `decision` and `reason` as
    metrics name them; `status`, `detail` and `challenges` are the refusal's, or what they would be were the rule
    enforced.
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


def why(decided: DecisionRecord, time: str) -> Hindsight:
    """Tell why it was decided so; `time` is the decision's own, as RFC 3339 has it."""
    line = log_line(decided, time)
    answer = decided.refusal
    return Hindsight(
        time=time,
        request_id=line.request_id,
        method=line.method,
        path=line.path,
        rule=line.route,
        decision=line.decision,
        reason=line.reason,
        status=None if answer is None else answer.status,
        detail=None if answer is None else answer.detail,
        challenges=() if answer is None else answer.challenges,
        conditions=tuple(_conditions(decided)),
    )


def explained(told: Hindsight) -> Explanation:
    """Make of it what `wording.write` puts into words."""
    reply = None if told.status is None else Reply(told.status, told.detail or "", told.challenges, None)
    forwarded = told.decision == WOULD_DENY
    return Explanation(
        method=told.method,
        target=told.path,
        host="",
        preflight="",
        path=None,
        candidates=(),
        conditions=told.conditions,
        upstream=None,
        judgement=Judgement(
            rule=told.rule,
            decision=told.decision,
            reason=told.reason,
            reply=None if forwarded else reply,
            enforced=reply if forwarded else None,
        ),
    )


def _conditions(decided: DecisionRecord) -> tuple[Condition, ...]:
    evidence, answer = decided.evidence, decided.refusal
    if decided.rule is None or evidence is None or answer is None:
        return ()
    (entry,) = Policy([(decided.rule, "")]).entries
    shown: Shown
    if isinstance(evidence, ActiveToken | InactiveToken | NoToken):
        shown = evidence
    else:
        shown = Unknown(evidence if isinstance(evidence, IntrospectionFailure) else None, answer)
    bound = isinstance(evidence, ActiveToken) and evidence.bound
    possession = _possession(decided.possession) if bound or decided.possession is not None else None
    return tuple(conditions(entry, decided.segments, shown, possession, decided.time))


def _possession(shown: Proven | PossessionFault | None) -> Possession:
    if shown is None:
        return Possession("not looked at", False)
    return Possession(
        shown.replace("_", " ") if isinstance(shown, PossessionFault) else "shown", isinstance(shown, Proven)
    )
