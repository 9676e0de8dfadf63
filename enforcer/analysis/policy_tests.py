"""Tests of a policy: what is asked, what the token is worth, what must come of it; and which rules they cover."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal

from enforcer.analysis.evaluator import Entry, Located, Policy, Request, shown
from enforcer.analysis.explain import MALFORMED, Judgement, Shown, explain, judge
from enforcer.analysis.explanation_text import write
from enforcer.errors import IntrospectionError
from enforcer.policy.decision import NO_ANSWER, OF_A_PROOF, WOULD_DENY, Reason
from enforcer.proxy.refusals import Refusals
from enforcer.tokens.introspection.response import INACTIVE, VerificationResult, from_claims
from enforcer.units import CLOSED, Switch

REASONS: Final = (*(str(reason) for reason in Reason if reason not in NO_ANSWER | OF_A_PROOF), MALFORMED)
"""What a test can come to: nobody is asked, so that nobody fails to answer."""
NO_TOKEN: Final = "none"  # noqa: S105 - what a test says instead of a token
_IN_CLAIMS: Final = ("active", "scope", "sub", "client_id", "iss", "aud", "exp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an authorization server says of a token (RFC 7662 §2.2). Without `expired` it does not end."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    scope: str = ""
    """Scopes, with blanks between them."""
    client_id: str | None = None
    """Client that the token was given to."""
    sub: str | None = None
    """Subject of the token."""
    iss: str | None = None
    """Issuer of the token."""
    aud: tuple[str, ...] = ()
    """Audiences of the token."""
    claims: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """All else that is said of it, such as `tenant` or `nbf`."""
    expired: Switch = False
    """Its end has passed."""
    inactive: Switch = False
    """It is revoked or unknown: nothing more is said of it."""

    def __post_init__(self) -> None:
        if self.inactive and (self.scope or self.client_id or self.sub or self.iss or self.aud or self.claims):
            raise ValueError("of an inactive token nothing else is known")
        for name in self.claims:
            if name in _IN_CLAIMS:
                raise ValueError(f"claims: {name} has a key of its own, or follows from one")
        try:
            self.answer(0.0)
        except IntrospectionError as error:
            raise ValueError(f"claims: {error.detail}") from None

    def answer(self, now: float) -> VerificationResult:
        """Make the answer that says so at `now`, seconds since the epoch."""
        if self.inactive:
            return INACTIVE
        # A member that is null is an absent one.
        members = {"client_id": self.client_id, "sub": self.sub, "iss": self.iss, "scope": self.scope or None}
        end = now - 1 if self.expired else None
        return from_claims({"active": True, **members, "aud": list(self.aud), "exp": end, **self.claims})


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One test."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    name: str
    """What it shows; unique in its file."""
    request: str
    """Method and path as sent: `GET /ms-system/country?page=2`."""
    host: str = ""
    """Host that the request is for; none unless said."""
    preflight: str = ""
    """Method that it asks for as a CORS preflight, which is an OPTIONS without a token; it is none unless said."""
    token: Facts | str = NO_TOKEN
    """What the token is worth, or the name of one of `tokens`; `none`, no token, unless said."""
    certificate: str = ""
    """Certificate that its sender shows, by what `cnf` of the token calls it in `x5t#S256`; none unless said."""
    proof: str = ""
    """Key that its sender proves to have, by what `cnf` of the token calls it in `jkt`: the token is then sent with the
    DPoP scheme and a proof. None unless said."""
    expect: Literal["allow", "deny", "would_deny"]
    """What the decision must be. `would_deny` is that of a rule that only reports."""
    rule: str | None = None
    """Rule that must decide, `_none` for no rule at all; any unless said."""
    reason: str | None = None
    """Reason that the decision must have; any unless said."""
    status: int | None = None
    """Status of the refusal, or of what it would be; any unless said."""

    def __post_init__(self) -> None:
        if len(self.request.split(" ")) != 2:
            raise ValueError("request: expected a method, a blank and a path, such as GET /ms-system/country")
        if self.preflight and (self.token != NO_TOKEN or not self.request.startswith("OPTIONS ")):
            raise ValueError("preflight: it is an OPTIONS, and has no token")
        if self.reason is not None and self.reason not in REASONS:
            raise ValueError(f"reason: expected one of {', '.join(REASONS)}")
        if self.proof and self.token == NO_TOKEN:
            raise ValueError("proof: without a token it proves nothing")
        if self.expect == "allow" and self.status is not None:
            raise ValueError("status: of an allowed request it is the app that says the status")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cases:
    """A file of tests."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    tokens: Mapping[str, Facts] = field(default_factory=dict, hash=False)
    """Tokens by the names that tests use for them."""
    tests: tuple[Case, ...]
    """The tests."""

    def __post_init__(self) -> None:
        if not self.tests:
            raise ValueError("tests: there is none")


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not as expected."""

    what: str
    expected: str
    got: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a test; `failure` says what is not as expected and why it came so, and is empty where all is."""

    case: Case
    judgement: Judgement
    differences: tuple[Difference, ...]
    failure: str

    @property
    def passed(self) -> bool:
        """Whether all is as expected."""
        return not self.differences


def run(cases: Cases, policy: Policy, now: float, refusals: Refusals) -> list[Outcome]:
    """Judge each test's request at `now`, seconds since the epoch."""
    return [_run(case, cases.tokens, policy, now, refusals) for case in cases.tests]


def _run(case: Case, tokens: Mapping[str, Facts], policy: Policy, now: float, refusals: Refusals) -> Outcome:
    method, target = case.request.split(" ")
    request = Request(method, target, case.host, case.certificate, case.proof, case.preflight)
    facts = case.token if isinstance(case.token, Facts) else tokens.get(case.token)
    answer = None if facts is None else facts.answer(now)

    def evidence(located: Located) -> Shown:
        return shown(answer, located.target.query)

    judgement = judge(policy, request, evidence, now, refusals)
    differences = tuple(_differences(case, judgement))
    failure = ""
    if differences:
        lines = [f"{one.what}: expected {one.expected}, got {one.got}" for one in differences]
        failure = "\n".join([*lines, "", write(explain(policy, request, evidence, now, refusals))])
    return Outcome(case, judgement, differences, failure)


def _differences(case: Case, judgement: Judgement) -> Iterator[Difference]:
    refusal = judgement.reply or judgement.enforced
    compared = (
        ("decision", case.expect, judgement.decision),
        ("rule", case.rule, judgement.rule),
        ("reason", case.reason, judgement.reason),
        ("status", case.status, "none" if refusal is None else refusal.status),
    )
    for what, expected, got in compared:
        if expected is not None and expected != got:
            yield Difference(what, str(expected), str(got))


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the tests that passed show of a rule. A public rule can only be allowed."""

    entry: Entry
    allowed: bool
    denied: bool

    @property
    def missing(self) -> str | None:
        """What no test shows of it."""
        if self.allowed:
            return None if self.denied or self.entry.rule.public else "denied"
        return "allowed" if self.denied or self.entry.rule.public else "allowed or denied"


def coverage(policy: Policy, outcomes: Sequence[Outcome]) -> Iterator[Coverage]:
    """Tell for each rule what the tests that passed show of it."""
    seen = {(one.judgement.rule, one.judgement.decision) for one in outcomes if one.passed}
    for entry in policy.entries:
        name = entry.rule.name
        yield Coverage(entry, (name, "allow") in seen, not seen.isdisjoint({(name, "deny"), (name, WOULD_DENY)}))
