"""Why a request is allowed or refused: the rules that were looked at, the conditions, the answer.

1. The decision is the one of `trial`; what is told of it here is asked of the same matcher and decision, in parts.
2. A condition is tried by a rule that has it alone, on a token with nothing else wrong with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Any, Final

from enforcer.analysis.evaluator import Entry, Located, Policy, Request
from enforcer.counters import NO_ROUTE
from enforcer.decision_log.record import Refusal
from enforcer.errors import IntrospectionFailure, MalformedRequestError
from enforcer.policy.decision import Allow, Deny, Evidence, decide
from enforcer.policy.matcher import Matcher, Place
from enforcer.policy.requirement import Requirement
from enforcer.policy.rules import Claim, Rule
from enforcer.proxy.refusals import Refusals, malformed
from enforcer.tokens.bearer import NoToken
from enforcer.tokens.dpop.binding import BindingKind, binding
from enforcer.tokens.dpop.possession import Proven
from enforcer.tokens.introspection.response import NEVER, ActiveToken, InactiveToken, VerificationResult

MALFORMED: Final = "malformed_request"
"""The reason where a request can be read in more than one way, or is none: no rule was looked at."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Stands for what a token is worth where nobody said: why, None where it was too large to ask, and the answer."""

    why: IntrospectionFailure | None
    answer: Refusal


class Choice(StrEnum):
    """What became of a rule whose path fits."""

    CHOSEN = "chosen"
    METHOD = "other_method"
    HOST = "other_host"
    OUTDONE = "outdone"  # another rule for the same path names the method or host more closely
    WIDER = "less_specific"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rule whose path fits, and what became of it."""

    rule: str
    where: str
    path: str
    choice: Choice
    why: str


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of the chosen rule."""

    name: str
    needed: str
    there: str
    met: bool


@dataclass(frozen=True, slots=True)
class Reply:
    """How the enforcer answers a request that it does not forward."""

    status: int
    detail: str
    challenges: tuple[str, ...]
    retry_after: int | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What comes of a request: rule, decision and reason as metrics name them; `reply` None where it is forwarded.

    `enforced` is the answer that it would get, were a rule enforced that only reports.
    """

    rule: str
    decision: str
    reason: str
    reply: Reply | None
    enforced: Reply | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that is known of a decision. `path` is decoded, and None where it was not read; `upstream` is the one that
    the rule names, if any.
    """

    method: str
    target: str
    host: str
    preflight: str
    path: str | None
    candidates: tuple[Candidate, ...]
    conditions: tuple[Condition, ...]
    upstream: str | None
    judgement: Judgement


Shown = VerificationResult | NoToken | Unknown
Oracle = Callable[[Located], Shown]
"""Says what the token of a request is worth."""


def judge(policy: Policy, request: Request, oracle: Oracle, now: float, refusals: Refusals) -> Judgement:
    """Judge a request at `now`, seconds since the epoch."""
    try:
        located = policy.locate(request)
    except MalformedRequestError as error:
        return _malformed(error)
    return _judge(located, oracle(located), now, refusals)


def explain(policy: Policy, request: Request, oracle: Oracle, now: float, refusals: Refusals) -> Explanation:
    """Judge a request at `now`, seconds since the epoch, and tell why."""
    try:
        located = policy.locate(request)
    except MalformedRequestError as error:
        return Explanation(
            request.method,
            request.target,
            request.host,
            request.preflight,
            path=None,
            candidates=(),
            conditions=(),
            upstream=None,
            judgement=_malformed(error),
        )
    shown = oracle(located)
    return Explanation(
        method=request.method,
        target=request.target,
        host=located.host.decode(),
        preflight=request.preflight,
        path="/" + b"/".join(located.target.segments).decode(),
        candidates=tuple(_candidates(policy, located)),
        conditions=_of_rule(located, shown, now),
        upstream=None if located.entry is None else located.entry.rule.upstream,
        judgement=_judge(located, shown, now, refusals),
    )


def _judge(located: Located, shown: Shown, now: float, refusals: Refusals) -> Judgement:
    rule = None if located.entry is None else located.entry.rule
    name = NO_ROUTE if rule is None else rule.name
    answer: Refusal | None = None
    evidence: Evidence
    if not isinstance(shown, Unknown):
        evidence = shown
    elif shown.why is None:
        return Judgement(name, "deny", MALFORMED, _reply(shown.answer))
    else:
        evidence, answer = shown.why, shown.answer if rule is not None else None
    verdict = located.judge(evidence, now)
    refused = located.judge(evidence, now, enforced=True)
    if isinstance(refused, Allow):
        return Judgement(name, *verdict.label, None)
    own = refusals.of(rule)
    reply = _reply(answer or (own.dpop if located.proof else own.bearer)[refused.reason])
    return Judgement(name, *verdict.label, *((reply,) if isinstance(verdict, Deny) else (None, reply)))


def _malformed(error: MalformedRequestError) -> Judgement:
    return Judgement(NO_ROUTE, "deny", MALFORMED, _reply(malformed(str(error), error.status)))


def _reply(refused: Refusal) -> Reply:
    return Reply(refused.status, refused.detail, refused.challenges, refused.retry_after)


# The rules


def _candidates(policy: Policy, located: Located) -> Iterator[Candidate]:
    """Tell of the rules whose path fits: those that are there for the host, the most specific first, then the others.

    Each is asked for alone, by its path, by its host and by its method.
    """

    method = located.preflighted or located.method

    def fits(entry: Entry, host: str | None, methods: tuple[str, ...] | None) -> bool:
        alone = Matcher([(Place(entry.place.path, methods or (), host), entry)])
        if methods is None:
            return alone.at(located.target.segments, located.host) is not None
        return alone.find(located.target.segments, method, located.host) is not None

    def candidate(entry: Entry, choice: Choice, why: str) -> Candidate:
        return Candidate(entry.rule.name, entry.where, entry.rule.path, choice, why)

    with_path = sorted((one for one in policy.entries if fits(one, None, None)), key=lambda one: one.place.path.rank)
    there = [entry for entry in with_path if fits(entry, entry.rule.host, None)]
    for entry in there:
        rule, top = entry.rule, there[0]
        if entry is located.entry:
            yield candidate(entry, Choice.CHOSEN, "chosen")
        elif entry.place.path.rank != top.place.path.rank:
            yield candidate(entry, Choice.WIDER, f"less specific than {top.rule.path}")
        elif not fits(entry, None, rule.methods):
            served = ", ".join(rule.methods) or "all that are served"
            yield candidate(entry, Choice.METHOD, f"not for {method.decode()}: for {served}")
        else:
            closer = "" if located.entry is None else located.entry.rule.name
            yield candidate(entry, Choice.OUTDONE, f'rule "{closer}" names the host or method more closely')
    host = f"host {located.host.decode()}" if located.host else "no host"
    for entry in with_path:
        if entry not in there:
            yield candidate(entry, Choice.HOST, f"not for {host}: for {entry.rule.host}")


# The conditions


@dataclass(frozen=True, slots=True)
class Possession:
    """What is there of what a token is bound to, and whether it is that."""

    there: str
    holds: bool


def _of_rule(located: Located, shown: Shown, now: float) -> tuple[Condition, ...]:
    entry = located.entry
    if entry is None:
        return ()
    if located.preflighted is not None and not entry.rule.public:
        there = f"a preflight for {located.preflighted.decode()}, without a token"
        return (Condition("cors_preflight", "allow", there, True),)
    possession = None
    if isinstance(shown, ActiveToken) and (shown.bound or located.proof):
        there = f"a DPoP proof by {located.proof}" if located.proof else located.certificate or _NONE
        possession = Possession(there, isinstance(located.show(shown), Proven))
    return tuple(conditions(entry, located.target.segments, shown, possession, now))


_CREDENTIALS: Final = {
    NoToken.MISSING: "none",
    NoToken.INVALID_REQUEST: "several, or credentials that cannot be read",
    NoToken.MALFORMED: "what is no token (RFC 6750 §2.1)",
}
_STATES: Final = {InactiveToken: "inactive", Unknown: "not known"}


def conditions(
    entry: Entry, segments: Sequence[bytes], shown: Shown, possession: Possession | None, now: float
) -> Iterator[Condition]:
    """Tell of each condition of the rule, in the order of the decision."""
    rule = entry.rule
    if rule.public:
        yield Condition("public", "nothing", "not looked at", True)
        return
    there = _CREDENTIALS[shown] if isinstance(shown, NoToken) else "one"
    yield Condition("token", "an access token", there, not isinstance(shown, NoToken))
    if not isinstance(shown, ActiveToken):
        there = _STATES.get(type(shown), "nothing")
        yield Condition("state", "active", there, False)
        for part in _parts(entry, segments):
            yield Condition(part.name, part.needed, "nothing is known", False)
        return

    def met(one: Rule, answer: ActiveToken) -> bool:
        return isinstance(decide(Requirement(one, entry.place.path), answer, segments, now), Allow)

    anybody = Rule(name=rule.name, path=rule.path, authenticated=True)
    sound = replace(shown, expires=NEVER, not_before=-NEVER, bound=False)
    yield Condition("state", "active", "active", met(anybody, sound))
    yield Condition("time", "valid now", _time(shown, now), met(anybody, replace(shown, bound=False)))
    if possession is not None:
        yield Condition("possession", _POSSESSION[binding(shown.claims).kind], possession.there, possession.holds)
    for part in _parts(entry, segments):
        yield Condition(part.name, part.needed, part.there(shown), met(part.rule, sound))


_POSSESSION: Final = {
    BindingKind.NONE: "the Bearer scheme: it is bound to nothing",
    BindingKind.CERTIFICATE: "its certificate (cnf.x5t#S256)",
    BindingKind.KEY: "a DPoP proof by its key (cnf.jkt)",
    BindingKind.UNKNOWN: "what its cnf says, which is not known here",
}


@dataclass(frozen=True, slots=True)
class _Part:
    """One condition of a rule, by itself."""

    name: str
    rule: Rule
    needed: str
    there: Callable[[ActiveToken], str]


_THERE: Final[Mapping[str, Callable[[ActiveToken], str]]] = {
    "issuer": lambda answer: answer.issuer or _NONE,
    "audience": lambda answer: ", ".join(sorted(answer.audience)) or _NONE,
    "scopes": lambda answer: ", ".join(sorted(answer.scopes)) or _NONE,
    "any_scope": lambda answer: ", ".join(sorted(answer.scopes)) or _NONE,
    "client_ids": lambda answer: answer.client_id or _NONE,
}
_NONE: Final = "none"


def _parts(entry: Entry, segments: Sequence[bytes]) -> Iterator[_Part]:
    """Take a rule apart into rules with one condition each."""
    rule = entry.rule
    for key, there in _THERE.items():
        if values := getattr(rule, key):
            one = Rule(**{"name": rule.name, "path": rule.path, key: values})
            yield _Part(key, one, _listed("all of" if key == "scopes" else "one of", values), there)
    for claim, (name, wanted) in zip(entry.requirement.claims, rule.claims.items(), strict=True):
        if claim.segment is None:
            needed = _listed("one of", [_show(value) for value in claim.allowed])
        else:
            needed = f"{_show(segments[claim.segment].decode())}, the path's {wanted}"
        one = Rule(name=rule.name, path=rule.path, claims={name: wanted})
        yield _Part(f"claims.{name}", one, needed, partial(_claim, claim))


def _claim(claim: Claim, answer: ActiveToken) -> str:
    value: Any = answer.claims.get(claim.name)
    if value is None:
        value = answer.claims
        for step in claim.path:
            value = value.get(step) if isinstance(value, Mapping) else None
    return _NONE if value is None else _show(value)


def _time(answer: ActiveToken, now: float) -> str:
    if answer.not_before > now:
        return f"begins in {answer.not_before - now:.0f} s"
    if answer.expires == NEVER:
        return "no end is stated"
    if answer.expires > now:
        return f"ends in {answer.expires - now:.0f} s"
    return f"ended {now - answer.expires:.0f} s ago"


def _listed(how: str, values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else f"{how} {', '.join(values)}"


def _show(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONG else f"{text[: _LONG - 1]}…"


_LONG: Final = 100  # characters of a claim that are shown
