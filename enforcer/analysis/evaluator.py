"""A policy on trial: a request put to the matcher and the decision that the enforcer uses, without a network.

What explains, tests or compares a policy asks here, so that it cannot come to another decision than the enforcer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from enforcer.errors import MalformedRequestError
from enforcer.policy.decision import Allow, Deny, Evidence, Unasked, decide, decide_bound
from enforcer.policy.matcher import Matcher, Place, choose
from enforcer.policy.requirement import Requirement
from enforcer.policy.rules import UNSERVED, Mode, Path, Rule
from enforcer.tokens import bearer
from enforcer.tokens.bearer import NoToken
from enforcer.tokens.dpop.possession import PossessionFault, Proven, with_certificate, with_key
from enforcer.tokens.introspection.response import ActiveToken, InactiveToken, VerificationResult
from enforcer.wire.fields import HOST, METHODS
from enforcer.wire.target import Target, parse

_SOME_TOKEN: Final = b"Bearer x"
"""Stands for a token whose worth is known: only how it was sent is looked at."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as far as a policy looks at it: `target` and `host` as sent, `host` empty where none is given.

    Its sender shows the certificate, or has the key of its DPoP proof, of the thumbprint in `certificate` or `proof`;
    empty where there is none. `preflight` is the method that it asks for, where it is a CORS preflight: an OPTIONS
    without a token.
    """

    method: str
    target: str
    host: str = ""
    certificate: str = ""
    proof: str = ""
    preflight: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A rule, what it claims and what it is judged by; `where` is its file and line."""

    rule: Rule
    place: Place
    requirement: Requirement
    where: str

    @property
    def reports(self) -> bool:
        """Whether what it denies is forwarded all the same."""
        return self.rule.mode == "report"


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """A request as it was read, and the rule that it falls under; `preflighted` is the method that it is asked about,
    where it is a CORS preflight that the rule lets pass."""

    target: Target
    method: bytes
    host: bytes
    entry: Entry | None
    reports: bool
    certificate: str
    proof: str
    preflighted: bytes | None = None

    def judge(self, evidence: Evidence, now: float, *, enforced: bool = False) -> Allow | Deny:
        """Judge the request by what its token is worth at `now`, seconds since the epoch; `enforced`: in no mode but
        that."""
        if self.preflighted is not None:
            evidence = Unasked.PREFLIGHT
        requirement = None if self.entry is None else self.entry.requirement
        segments, reports = self.target.segments, self.reports and not enforced
        bound = isinstance(evidence, ActiveToken) and evidence.bound
        if isinstance(evidence, ActiveToken | InactiveToken) and (bound or self.proof):
            return decide_bound(requirement, evidence, self.show, segments, now, reports)
        return decide(requirement, evidence, segments, now, reports)

    def show(self, answer: ActiveToken) -> Proven | PossessionFault:
        """Tell whether the request's sender has what the token is bound to."""
        return with_key(answer, self.proof) if self.proof else with_certificate(answer, self.certificate)


class Policy:
    """Rules made ready to be tried, each with the place where it stands; `mode` is that of requests without a rule."""

    def __init__(self, rules: Iterable[tuple[Rule, str]], mode: Mode = "enforce") -> None:
        self._reports = mode == "report"
        self.entries = tuple(_entry(rule, where) for rule, where in rules)
        self.matcher = Matcher((entry.place, entry) for entry in self.entries)

    def locate(self, request: Request) -> Located:
        """Read a request and find its rule; raises MalformedRequestError as the enforcer does."""
        if request.method not in METHODS:
            raise MalformedRequestError("request line", "unknown method", 501)
        host = _encode(request.host)
        if host and not HOST.fullmatch(host):
            raise MalformedRequestError("Host", "not a host")
        target = parse(_encode(request.target))
        if target.authority is not None:
            if host and host.lower() != target.authority.lower():
                raise MalformedRequestError("Host", "not the one of the request target")
            host = target.authority
        method = request.method.encode()
        found = self.matcher.at(target.segments, host)
        entry = None if found is None else choose(found, method)
        shown = request.certificate, request.proof
        if method == b"OPTIONS" and request.preflight and found is not None:
            asked = _encode(request.preflight)
            allowing = choose(found, asked)
            if allowing is not None and allowing.requirement.preflight:
                return Located(target, method, host, allowing, allowing.reports, *shown, preflighted=asked)
        # What is never let through is not in report mode either.
        reports = entry.reports if entry is not None else self._reports and method not in UNSERVED
        return Located(target, method, host, entry, reports, *shown)


def shown(answer: VerificationResult | None, query: bytes) -> VerificationResult | NoToken:
    """Return what a request shows that sends a token worth `answer` in its Authorization field, or, with None, none."""
    if answer is None:
        return NoToken.MISSING
    token = bearer.parse(_SOME_TOKEN, 1, query)
    return token if isinstance(token, NoToken) else answer


def _entry(rule: Rule, where: str) -> Entry:
    path = Path.parse(rule.path)
    return Entry(rule, Place(path, rule.methods, rule.host), Requirement(rule, path), where)


def _encode(text: str) -> bytes:
    # A surrogate stands for a byte of the command line that is no UTF-8: it becomes what no request may hold.
    return text.encode("utf-8", "surrogatepass")
