"""Policy tests: a request, a token and the expected decision; and which rules the tests cover."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from enforcer.analysis.evaluator import Policy, PolicyRequest, PolicyRule, RoutedRequest, token_evidence
from enforcer.analysis.explain import (
    MALFORMED,
    Evaluation,
    EvidenceSource,
    TokenEvidence,
    UnverifiedToken,
    evaluate,
    explain,
)
from enforcer.analysis.explanation_text import write
from enforcer.errors import IntrospectionError
from enforcer.policy.decision import NO_ANSWER, OF_A_PROOF, WOULD_DENY, Reason
from enforcer.proxy.messages.responses import Refusals, not_verified
from enforcer.settings.connections.addresses import is_ip
from enforcer.tokens.claims import SCOPE_CLAIMS, ScopeClaims, claim_value
from enforcer.tokens.introspection.response import INACTIVE, VerificationResult, from_members
from enforcer.units import Section, Switch

REASONS: Final = (*(str(reason) for reason in Reason if reason not in NO_ANSWER | OF_A_PROOF), MALFORMED)
"""The possible reasons in a test: no server is called, so that none can fail."""
NO_TOKEN: Final = "none"  # noqa: S105 - stands for a request without a token
_NEEDS_CLAIM: Final = {Reason.WRONG_AUDIENCE: "aud", Reason.WRONG_ISSUER: "iss"}
"""Reasons that a token without this claim is denied for, whatever else the test is about."""
_RETRY_AFTER: Final = 5
"""Seconds in the response to a token that no server could have described like this."""
_OF_TEXT: Final = ("scope", "scp")
"""Claims that servers write scopes to as a text, separated by spaces; others are lists."""
_IN_CLAIMS: Final = ("active", "scope", "sub", "client_id", "iss", "aud", "exp")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFacts(Section):
    """A token as introspection describes it (RFC 7662 §2.2). Without `expired` it does not expire."""

    scope: str = ""
    """Scopes, separated by spaces. The token has them in the claim that `scope_claims` of the server says."""
    client_id: str | None = None
    """Client that the token was issued to."""
    sub: str | None = None
    """Subject of the token."""
    iss: str | None = None
    """Issuer of the token."""
    aud: tuple[str, ...] = ()
    """Audiences of the token."""
    claims: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Further claims, such as `tenant`. `nbf` and `iat` have no effect: the token is active."""
    expired: Switch = False
    """Whether it has expired."""
    inactive: Switch = False
    """Whether it is revoked or unknown; it then has no other member."""

    def __post_init__(self) -> None:
        if self.inactive and (self.scope or self.client_id or self.sub or self.iss or self.aud or self.claims):
            raise ValueError("an inactive token has no other member")
        for name in self.claims:
            if name in _IN_CLAIMS:
                raise ValueError(f"claims: {name} is set by a key of its own")
        try:
            self.result(0.0)
        except IntrospectionError as error:
            raise ValueError(f"claims: {error.detail}") from None

    def result(self, now: float, scopes: ScopeClaims = SCOPE_CLAIMS) -> VerificationResult:
        """Return the verification result at `now`, seconds since the epoch; raises IntrospectionError.

        `scopes` are the claims that may hold the token's scopes.
        """
        if self.inactive:
            return INACTIVE
        # A null member counts as absent.
        identity = {"client_id": self.client_id, "sub": self.sub, "iss": self.iss, "aud": list(self.aud)}
        expiry = now - 1 if self.expired else None
        members = {"active": True, **identity, "exp": expiry, **self.claims}
        return from_members(with_scopes(members, self.scope, scopes), scopes)


def with_scopes(members: Mapping[str, Any], scope: str, claims: ScopeClaims) -> Mapping[str, Any]:
    """Return the members of a token that has further scopes, in a claim that its authorization server has scopes in.

    That is the first such claim that the token has, or else `scope`, or else the first. `scope` has scopes, separated
    by spaces. A claim that cannot hold scopes stays as it is: the enforcer could not read them either.
    """
    if not scope:
        return members
    holding = (each for each in claims.names if each[0] == "scope" or claim_value(members, *each) is not None)
    name, path = next(holding, claims.names[0])
    value = claim_value(members, name, path)
    if value is None:
        value = scope if name in _OF_TEXT else scope.split(" ")
    elif isinstance(value, str):
        value = f"{value} {scope}"
    elif isinstance(value, list):
        value = [*value, *scope.split(" ")]
    else:
        return members
    return _with(members, (name,) if members.get(name) is not None else path, value)


def _with(members: Mapping[str, Any], path: Sequence[str], value: Any) -> Mapping[str, Any]:
    key, *below = path
    return {**members, key: _with(members.get(key) or {}, below, value) if below else value}


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTest(Section):
    """One test."""

    name: str
    """Unique name."""
    request: str
    """Method and request target as sent: `GET /ms-system/country?page=2`."""
    host: str = ""
    """Host field of the request. Default: none."""
    preflight: str = ""
    """Requested method of a CORS preflight, which is an OPTIONS request without a token. Default: not a preflight."""
    token: TokenFacts | str = NO_TOKEN
    """The token, or the name of one of `tokens`. Default: `none`, no token."""
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Further header fields of the request, for rules with conditions on them. Default: none."""
    address: str = ""
    """Address of the client, for rules with `addresses`. Default: unknown."""
    certificate: str = ""
    """Thumbprint of the sender's certificate, as in `x5t#S256` of the token's `cnf`. Default: none."""
    proof: str = ""
    """Thumbprint of the key that the sender proves to hold, as in `jkt` of the token's `cnf`: the token is then sent
    with the DPoP scheme and a proof. Default: none."""
    expect: Literal["allow", "deny", "would_deny"]
    """Expected decision. `would_deny` is a denial in report mode."""
    rule: str | None = None
    """Expected rule; `_none` if no rule must match. Default: any."""
    reason: str | None = None
    """Expected reason of the decision. Default: any, except that the request is malformed, that the token lacks the
    `aud` or `iss` that the rule requires, or that the test has no `address` for the rule's `addresses`: such a denial
    says nothing about the rule."""
    status: int | None = None
    """Expected status of the refusal, or in report mode of the one that enforcing would give. Default: any."""

    def __post_init__(self) -> None:
        if len(self.request.split(" ")) != 2:
            raise ValueError("request: expected a method, a space and a path, such as GET /ms-system/country")
        if self.preflight and (self.token != NO_TOKEN or not self.request.startswith("OPTIONS ")):
            raise ValueError("preflight: only for an OPTIONS request without a token")
        if self.reason is not None and self.reason not in REASONS:
            raise ValueError(f"reason: expected one of {', '.join(REASONS)}")
        if self.proof and self.token == NO_TOKEN:
            raise ValueError("proof: only for a request with a token")
        if self.address and not is_ip(self.address):
            raise ValueError("address: expected an IP address, such as 192.0.2.7")
        if self.expect == "allow" and self.status is not None:
            raise ValueError("status: the status of an allowed request is the app's")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTests(Section):
    """A file of tests."""

    tokens: Mapping[str, TokenFacts] = field(default_factory=dict, hash=False)
    """Tokens, by the names that tests use."""
    tests: tuple[PolicyTest, ...]
    """The tests."""

    def __post_init__(self) -> None:
        if not self.tests:
            raise ValueError("tests: expected at least one")


@dataclass(frozen=True, slots=True)
class Difference:
    """One mismatch."""

    member: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.member}: expected {self.expected}, got {self.got}"


@dataclass(frozen=True, slots=True)
class PolicyTestResult:
    """The result of one test. `failure` explains the mismatch; it is empty if the test passed."""

    case: PolicyTest
    judgement: Evaluation
    differences: tuple[Difference, ...]
    failure: str

    @property
    def passed(self) -> bool:
        return not self.differences


def run(cases: PolicyTests, policy: Policy, now: float, refusals: Refusals) -> list[PolicyTestResult]:
    """Evaluate the request of each test at `now`, seconds since the epoch."""
    return [_run(case, cases.tokens, policy, now, refusals) for case in cases.tests]


def _run(
    case: PolicyTest, tokens: Mapping[str, TokenFacts], policy: Policy, now: float, refusals: Refusals
) -> PolicyTestResult:
    method, target = case.request.split(" ")
    request = PolicyRequest(
        *(method, target, case.host, case.certificate, case.proof, case.preflight),
        headers=tuple(case.headers.items()),
        address=case.address,
    )
    facts = case.token if isinstance(case.token, TokenFacts) else _named(case.token, tokens)
    evidence = assumed(facts, policy, now)
    judgement = evaluate(policy, request, evidence, now, refusals)
    differences = tuple(_differences(case, facts, judgement, policy))
    failure = ""
    if differences:
        lines = map(str, differences)
        failure = "\n".join([*lines, "", write(explain(policy, request, evidence, now, refusals))])
    return PolicyTestResult(case, judgement, differences, failure)


def _named(name: str, tokens: Mapping[str, TokenFacts]) -> TokenFacts | None:
    """Return a token by its name; raises KeyError if no token has it, which must not pass for a request without."""
    return None if name == NO_TOKEN else tokens[name]


def assumed(facts: TokenFacts | None, policy: Policy, now: float) -> EvidenceSource:
    """Return the source of evidence for requests with a token of these facts; None means no token."""

    def evidence(located: RoutedRequest) -> TokenEvidence:
        if facts is None:
            return token_evidence(None, located)
        rule = None if located.entry is None else located.entry.rule
        try:
            result = facts.result(now, policy.scope_claims(rule, facts.iss))
        except IntrospectionError as error:
            return UnverifiedToken(error.reason, not_verified(_RETRY_AFTER), error.detail)
        return token_evidence(result, located)

    return evidence


def _differences(
    case: PolicyTest, facts: TokenFacts | None, judgement: Evaluation, policy: Policy
) -> Iterator[Difference]:
    refusal = judgement.reply or judgement.enforced
    compared = (
        ("decision", case.expect, judgement.decision),
        ("rule", case.rule, judgement.rule),
        ("reason", case.reason, judgement.reason),
        ("status", case.status, "none" if refusal is None else refusal.status),
    )
    for member, expected, got in compared:
        if expected is not None and expected != got:
            yield Difference(member, str(expected), str(got))
    if case.reason is None and case.status is None and case.expect == judgement.decision != "allow":
        # A denial that has nothing to do with the rule would let the test pass for nothing.
        if judgement.reason in (MALFORMED, Reason.AMBIGUOUS_PATH):
            detail = "" if refusal is None else f": {refusal.detail}"
            yield Difference("reason", "a rule's", f"{judgement.reason}{detail}")
        elif facts is not None and judgement.reason in _NEEDS_CLAIM and not facts.inactive:
            claim = _NEEDS_CLAIM[Reason(judgement.reason)]
            if not getattr(facts, claim):
                yield Difference("reason", "another", f"{judgement.reason}: the token has no {claim}")
        elif judgement.reason == Reason.REQUEST_MISMATCH and _lacks_address(case, policy, judgement.rule):
            yield Difference("reason", "another", f"{judgement.reason}: the test has no address")


def _lacks_address(case: PolicyTest, policy: Policy, rule: str) -> bool:
    """Return whether a test has no address of a client, although the rule of this name limits them."""
    return not case.address and any(entry.rule.addresses for entry in policy.entries if entry.rule.name == rule)


@dataclass(frozen=True, slots=True)
class RuleCoverage:
    """Which decisions of a rule the passed tests cover. A public rule can only allow.

    `entry` is the rule under its first path.
    """

    entry: PolicyRule
    allowed: bool
    denied: bool

    @property
    def missing(self) -> str | None:
        """The decisions that no test covers, or None."""
        if self.allowed:
            return None if self.denied or self.entry.rule.public else "denied"
        return "allowed" if self.denied or self.entry.rule.public else "allowed or denied"


def coverage(policy: Policy, results: Sequence[PolicyTestResult]) -> Iterator[RuleCoverage]:
    """Yield for each rule which decisions the passed tests cover."""
    seen = {(result.judgement.rule, result.judgement.decision) for result in results if result.passed}
    first = {entry.index: entry for entry in reversed(policy.entries)}
    for _, entry in sorted(first.items()):
        name = entry.rule.name
        yield RuleCoverage(entry, (name, "allow") in seen, not seen.isdisjoint({(name, "deny"), (name, WOULD_DENY)}))
