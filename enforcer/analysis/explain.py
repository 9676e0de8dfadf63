"""Explains a decision: the conditions of the chosen rule, the response.

1. The decision comes from `evaluator`; each part of the explanation comes from the same matcher and decision.
2. A condition is tested with a rule that has only this condition, and a token that is valid in every other respect.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from enforcer.analysis.candidates import Candidate, candidates
from enforcer.analysis.evaluator import OtherRequest, Policy, PolicyRequest, PolicyRule, RoutedRequest
from enforcer.analysis.request_heads import UnreadableRequestError
from enforcer.counters import NO_ROUTE
from enforcer.decision_log.record import Refusal
from enforcer.errors import IntrospectionFailure
from enforcer.policy.ambiguity import UNMATCHED
from enforcer.policy.conditions import Claim, RequestCondition
from enforcer.policy.decision import Allow, Deny, Evidence, Reason, decide, failure
from enforcer.policy.request_view import RequestView
from enforcer.policy.requirement import Requirement
from enforcer.policy.rules import Conditions, Rule
from enforcer.policy.templates import Text
from enforcer.proxy.messages.responses import Refusals
from enforcer.tokens.bearer import NoToken
from enforcer.tokens.claims import NEVER, UNREADABLE, ActiveToken
from enforcer.tokens.dpop.binding import BindingKind, binding
from enforcer.tokens.dpop.possession import Proven
from enforcer.tokens.introspection.response import InactiveToken, VerificationResult
from enforcer.tokens.jwt.fault import EXPLANATIONS, RejectedToken

MALFORMED: Final = "malformed_request"
"""The reason if a request is ambiguous or not valid HTTP: no rule is matched."""


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A token without verification result: the failure, None if the token is too large to verify, and the response.

    `detail` is what failed, if that is known.
    """

    why: IntrospectionFailure | None
    answer: Refusal
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ReadingSummary:
    """A reading of an ambiguous path, as far as rules tell it apart from others, and the rule that it leads to.

    `counts` is false if the rule's `encoded` says that the app does not read it in this way.
    """

    path: str
    rule: str | None
    counts: bool


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of the chosen rule: what it requires, what the token has, and whether it is met."""

    name: str
    needed: str
    there: str
    met: bool


@dataclass(frozen=True, slots=True)
class RefusalSummary:
    """The response to a request that is not forwarded."""

    status: int
    detail: str
    challenges: tuple[str, ...]
    retry_after: int | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result for a request: rule, decision and reason as in metrics; `reply` is None if it is forwarded.

    `enforced` is the refusal that a rule in report mode would give if it were enforced.
    """

    rule: str
    decision: str
    reason: str
    reply: RefusalSummary | None
    enforced: RefusalSummary | None = None


@dataclass(frozen=True, slots=True)
class OtherTarget:
    """A method and target that a field names besides the request's own, and the rule that matches it.

    `allowed` is None if it was not decided, because the request is denied by itself.
    """

    method: str
    target: str
    rule: str | None
    allowed: bool | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision and its reasons; the JSON of `enforcer explain` has the same members.

    `path` is decoded, or None if it was not parsed; `upstream` is the name in the rule, if any. `own`: the enforcer
    responds itself, with the metadata of a resource. `readings` are those of an ambiguous path, and `parting` is where
    they lead if they part. `others` are the methods and targets that fields of the request name besides its own.
    """

    method: str
    target: str
    host: str
    preflight: str
    path: str | None = None
    candidates: tuple[Candidate, ...] = ()
    conditions: tuple[Condition, ...] = ()
    upstream: str | None = None
    own: bool = False
    readings: tuple[ReadingSummary, ...] = ()
    parting: str | None = None
    others: tuple[OtherTarget, ...] = ()
    judgement: Evaluation = field(kw_only=True)


TokenEvidence = VerificationResult | NoToken | UnverifiedToken
EvidenceSource = Callable[[RoutedRequest], TokenEvidence]
"""Returns the evidence for a request's token."""


def evaluate(
    policy: Policy, request: PolicyRequest, source: EvidenceSource, now: float, refusals: Refusals
) -> Evaluation:
    """Evaluate a request at `now`, seconds since the epoch."""
    located = _locate(policy, request)
    return located if isinstance(located, Evaluation) else _evaluate(located, source(located), now, refusals)


def explain(
    policy: Policy, request: PolicyRequest, source: EvidenceSource, now: float, refusals: Refusals
) -> Explanation:
    """Evaluate a request at `now`, seconds since the epoch, and explain the result."""
    located = _locate(policy, request)
    if isinstance(located, Evaluation):
        return Explanation(request.method, request.target, request.host, request.preflight, judgement=located)
    token = source(located)
    return Explanation(
        method=request.method,
        target=request.target,
        host=located.host.decode(),
        preflight=request.preflight,
        path=_path(located.target.segments),
        candidates=tuple(candidates(policy, located)) if located.parting is None else (),
        conditions=_rule_conditions(located, token, now),
        upstream=_upstream(located),
        own=located.entry is not None and (located.entry.own or located.answered),
        readings=tuple(_readings(policy, located)),
        parting=None if located.parting is None else str(located.parting),
        others=tuple(_others(located, token, now)),
        judgement=_evaluate(located, token, now, refusals),
    )


def _upstream(located: RoutedRequest) -> str | None:
    entry = located.entry
    if located.parting is not None and located.parting.values:
        entry = located.parting.values[0]
    return None if entry is None else entry.rule.upstream


def _readings(policy: Policy, located: RoutedRequest) -> Iterator[ReadingSummary]:
    summaries: dict[ReadingSummary, None] = {}
    for reading, entry, counts in policy.readings(located):
        *segments, last = reading.segments
        shown = [*segments, b"\xe2\x80\xa6" if last == UNMATCHED else last]
        summaries[ReadingSummary(_path(shown), None if entry is None else entry.rule.name, counts)] = None
    yield from summaries


def _path(segments: Sequence[bytes]) -> str:
    """Return a path as text; a slash that is a byte of its segment stays encoded."""
    return "/" + b"/".join([segment.replace(b"/", b"%2F") for segment in segments]).decode("utf-8", "backslashreplace")


def _locate(policy: Policy, request: PolicyRequest) -> RoutedRequest | Evaluation:
    """Find the rule of a request; a malformed request is evaluated without one."""
    try:
        return policy.locate(request)
    except UnreadableRequestError as error:
        return Evaluation(NO_ROUTE, "deny", MALFORMED, _reply(error.refusal))


def _evaluate(located: RoutedRequest, token: TokenEvidence, now: float, refusals: Refusals) -> Evaluation:
    rule = None if located.entry is None else located.entry.rule
    name = NO_ROUTE if rule is None else rule.name
    refusal: Refusal | None = None
    evidence: Evidence
    if not isinstance(token, UnverifiedToken):
        evidence = token
    elif token.why is None:
        return Evaluation(name, "deny", MALFORMED, _reply(token.answer))
    else:
        evidence, refusal = token.why, token.answer if rule is not None else None
    decision = located.decide(evidence, now)
    for other, reason in located.decide_others(evidence, now) or ():
        if reason is not None:
            return Evaluation(name, *decision.label, _reply(_refusal_of_other(other, reason, refusals)))
    enforced = located.decide(evidence, now, enforced=True)
    if isinstance(enforced, Allow):
        return Evaluation(name, *decision.label, None)
    own = refusals.of(rule)
    reply = _reply(refusal or (own.dpop if located.proof else own.bearer)[enforced.reason])
    return Evaluation(name, *decision.label, *((reply,) if isinstance(decision, Deny) else (None, reply)))


def _refusal_of_other(other: OtherRequest, reason: Reason, refusals: Refusals) -> Refusal:
    """Return the response to a request whose field names a method or target that its rule denies."""
    if other.unreadable is not None:
        return other.unreadable
    return refusals.of(None if other.entry is None else other.entry.rule).bearer[reason]


def _others(located: RoutedRequest, token: TokenEvidence, now: float) -> Iterator[OtherTarget]:
    decided = None if isinstance(token, UnverifiedToken) else located.decide_others(token, now)
    for other, reason in decided or [(other, None) for other in located.others]:
        rule = None if other.entry is None else other.entry.rule.name
        text = other.target.decode("utf-8", "backslashreplace")
        yield OtherTarget(other.method.decode(), text, rule, None if decided is None else reason is None)


def _reply(refused: Refusal) -> RefusalSummary:
    return RefusalSummary(refused.status, refused.detail, refused.challenges, refused.retry_after)


# The conditions


@dataclass(frozen=True, slots=True)
class Possession:
    """The proof of possession that the sender presented, and whether the token is bound to it."""

    there: str
    proven: bool


def _rule_conditions(located: RoutedRequest, token: TokenEvidence, now: float) -> tuple[Condition, ...]:
    entry = located.entry
    if entry is None:
        return ()
    if located.preflighted is not None and needs_preflight(entry):
        return preflight_conditions(entry, located.view)
    possession = None
    if isinstance(token, ActiveToken) and (token.bound or located.proof):
        there = f"a DPoP proof by {located.proof}" if located.proof else located.certificate or _NONE
        possession = Possession(there, isinstance(located.check_possession(token), Proven))
    return tuple(conditions(entry, located.view, token, possession, now))


def needs_preflight(entry: PolicyRule) -> bool:
    """Return whether a CORS preflight may be denied what other requests of the rule are allowed, or the reverse."""
    return entry.requirement.limited or not entry.rule.public


def preflight_conditions(entry: PolicyRule, request: RequestView) -> tuple[Condition, ...]:
    """Return the conditions that a CORS preflight must meet; it has neither a token nor the announced fields."""
    rule = entry.rule
    permitted = Condition("cors_preflight", rule.cors_preflight or "allow", "a preflight, without a token", True)
    if not rule.addresses:
        return (permitted,)
    needed, met = _listed("one of", rule.addresses), entry.requirement.meets_address(request)
    return permitted, Condition("addresses", needed, request.address or "unknown", met)


_CREDENTIALS: Final = {
    NoToken.MISSING: "none",
    NoToken.INVALID_REQUEST: "several, or credentials that cannot be read",
    NoToken.MALFORMED: "not a valid token (RFC 6750 §2.1)",
}


def _state(token: InactiveToken | NoToken | UnverifiedToken) -> str:
    if isinstance(token, RejectedToken):
        return f"rejected, {token.fault}: {EXPLANATIONS[token.fault]}"
    if isinstance(token, UnverifiedToken):
        return f"unknown: {token.detail}" if token.detail else "unknown"
    return "inactive" if isinstance(token, InactiveToken) else "nothing"


def conditions(
    entry: PolicyRule, request: RequestView, token: TokenEvidence, possession: Possession | None, now: float
) -> Iterator[Condition]:
    """Yield each condition of the rule, in the order in which the decision checks them."""
    rule = entry.rule
    if rule.nobody:
        yield Condition("nobody", "no request", "one", False)
        return

    def met(alone: Rule, candidate: ActiveToken | None) -> bool:
        requirement = Requirement(alone, entry.pattern.path, entry.requirement.scope_hierarchy)
        evidence = NoToken.MISSING if candidate is None else candidate
        return isinstance(decide(requirement, evidence, request, now), Allow)

    parts = [*_parts(entry, request, now)]
    if rule.public:
        yield Condition("public", "nothing", "not checked", True)
        for part in parts:
            yield Condition(part.name, part.needed, part.there(None), met(part.rule, None))
        return
    there = _CREDENTIALS[token] if isinstance(token, NoToken) else "one"
    yield Condition("token", "an access token", there, not isinstance(token, NoToken))
    if not isinstance(token, ActiveToken):
        yield Condition("state", "active", _state(token), False)
        for part in parts:
            yield Condition(part.name, part.needed, "unknown", False)
        return
    any_token = Rule(name=rule.name, path=entry.path, authenticated=True)
    valid = token.unbound(NEVER)
    yield Condition("state", "active", "active", met(any_token, valid))
    yield Condition("time", "valid now", _time(token, now), met(any_token, token.unbound(token.expires)))
    if possession is not None:
        yield Condition("possession", _POSSESSION[binding(token.claims).kind], possession.there, possession.proven)
    for part in parts:
        yield Condition(part.name, part.needed, part.there(token), met(part.rule, valid))


_POSSESSION: Final = {
    BindingKind.NONE: "the Bearer scheme, because the token is not bound",
    BindingKind.CERTIFICATE: "its certificate (cnf.x5t#S256)",
    BindingKind.KEY: "a DPoP proof by its key (cnf.jkt)",
    BindingKind.UNKNOWN: "an unsupported confirmation method (cnf)",
}


@dataclass(frozen=True, slots=True)
class _Part:
    """One condition of a rule, as a rule of its own."""

    name: str
    rule: Rule
    needed: str
    there: Callable[[ActiveToken | None], str]


_OF_TOKEN: Final[Mapping[str, Callable[[ActiveToken], str]]] = {
    "issuer": lambda token: token.issuer or _NONE,
    "audience": lambda token: ", ".join(sorted(token.audience)) or _NONE,
    "acr": lambda token: str(token.claims.get("acr", _NONE)),
    "max_auth_age": lambda token: f"auth_time {token.claims.get('auth_time', _NONE)}",
    "scopes": lambda token: ", ".join(sorted(token.scopes)) or _NONE,
    "any_scope": lambda token: ", ".join(sorted(token.scopes)) or _NONE,
    "client_ids": lambda token: token.client_id or _NONE,
}
_NONE: Final = "none"


def _parts(entry: PolicyRule, request: RequestView, now: float) -> Iterator[_Part]:
    """Split a rule into rules with one condition each, in the order in which the decision checks them."""
    rule = entry.rule
    own: dict[str, Any] = {"name": rule.name, "path": entry.path, "host": rule.host}
    for key, there in _OF_TOKEN.items():
        if (values := getattr(rule, key)) not in (None, ()):
            if isinstance(values, tuple):
                needed = _listed("all of" if key == "scopes" else "one of", values)
            else:
                needed = f"at most {values:g} s ago"
            yield _Part(key, Rule(**{**own, key: values}), needed, partial(_of_token, there))
    if rule.addresses:
        alone = Rule(**{**own, "public": True, "addresses": rule.addresses})
        yield _Part("addresses", alone, _listed("one of", rule.addresses), lambda _: request.address or "unknown")
    for condition in entry.requirement.request_conditions:
        key = "query" if condition.source == "?" else "headers"
        written = getattr(rule, key)[condition.name]
        alone = Rule(**{**own, "public": True, key: {condition.name: written}})
        needed = _listed("one of", [_filled(text, request) for text in condition.texts])
        yield _Part(f"{key}.{condition.name}", alone, needed, partial(_of_request, condition, request))
    for claim in entry.requirement.claims:
        alone = Rule(**{**own, "claims": {claim.name: rule.claims[claim.name]}})
        yield _Part(f"claims.{claim.name}", alone, _needed(claim, request), partial(_claim, claim, request))
    if rule.any_of:
        alone = Rule(**{**own, "any_of": rule.any_of})
        needed = f"one of: {'; '.join(map(_summary, rule.any_of))}"
        yield _Part("any_of", alone, needed, partial(_alternative, entry.requirement, request, now))


def _of_token(there: Callable[[ActiveToken], str], token: ActiveToken | None) -> str:
    return _NONE if token is None else there(token)


def _of_request(condition: RequestCondition, request: RequestView, _: ActiveToken | None) -> str:
    value = condition.value(request)
    return "none, or several" if value is None else _show(value.decode("utf-8", "replace"))


def _filled(text: Text, request: RequestView) -> str:
    value = text.fill(request)
    if text.fixed is not None:
        return _show(text.fixed)
    where = "path's" if {source for source, _ in text.variables} == {"path"} else "request's"
    return (
        f"{text.written}, which the request does not have"
        if value is None
        else (f"{_show(value.decode('utf-8', 'replace'))}, the {where} {text.written}")
    )


def _needed(claim: Claim, request: RequestView) -> str:
    if claim.test in ("present", "absent"):
        return f"{'any value' if claim.test == 'present' else _NONE}"
    how = {"any": "one of", "all": "all of", "not": "none of"}[claim.test]
    values = [*map(_show, claim.allowed), *(_filled(text, request) for text in claim.texts)]
    return f"none of {', '.join(values)}" if claim.test == "not" else _listed(how, values)


def _summary(option: Conditions) -> str:
    """Name the conditions of an alternative."""
    return ", ".join(
        f"{key} {_show(value)}" for key in Conditions.__dataclass_fields__ if (value := getattr(option, key))
    )


def _alternative(requirement: Requirement, request: RequestView, now: float, token: ActiveToken | None) -> str:
    for number, option in enumerate(requirement.alternatives, 1):
        if token is not None and failure(option, token, request, now) is None:
            return f"number {number}"
    return "none of them"


def _claim(claim: Claim, request: RequestView, token: ActiveToken | None) -> str:
    value = None if token is None else claim.value(token.claims, request)
    if value is UNREADABLE:
        return "nothing that can be read"
    return _NONE if value is None else _show(value)


def _time(token: ActiveToken, now: float) -> str:
    if token.expires == NEVER:
        return "no expiry"
    if token.expires > now:
        return f"expires in {token.expires - now:.0f} s"
    return f"expired {now - token.expires:.0f} s ago"


def _listed(how: str, values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else f"{how} {', '.join(values)}"


def _show(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONG else f"{text[: _LONG - 1]}…"


_LONG: Final = 100  # characters
