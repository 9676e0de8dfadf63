"""Evaluates requests by a policy without a network, with the matcher and the decision of the request path.

Every tool that explains, tests or compares a policy uses it, so that none can decide differently from the enforcer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from enforcer.errors import MalformedRequestError
from enforcer.policy.ambiguity import Parting, Reading, compare, settle
from enforcer.policy.decision import Allow, Deny, Evidence, SkippedVerification, decide, decide_bound
from enforcer.policy.hierarchy import NO_HIERARCHY, ScopeHierarchy
from enforcer.policy.matcher import Matcher, RequestPattern, choose
from enforcer.policy.protected_resources import metadata_patterns
from enforcer.policy.request_view import RequestView
from enforcer.policy.requirement import Requirement, compile_rule
from enforcer.policy.rules import UNSERVED, Mode, Rule
from enforcer.settings.resources import ProtectedResource
from enforcer.tokens.bearer import NoToken
from enforcer.tokens.claims import SCOPE_CLAIMS, ActiveToken, ScopeClaims
from enforcer.tokens.dpop.possession import PossessionFault, Proven, with_certificate, with_key
from enforcer.tokens.introspection.response import InactiveToken, VerificationResult
from enforcer.tokens.places.cross_site import CookieUse
from enforcer.tokens.places.places import Places
from enforcer.wire.fields import HOST, METHODS
from enforcer.wire.target import Target, parse


@dataclass(frozen=True, slots=True)
class PolicyRequest:
    """The parts of a request that a policy depends on: `target` and `host` as sent; `host` is empty if there is none.

    `certificate` and `proof` are the thumbprints of the sender's certificate and of the key of its DPoP proof; empty if
    there is none. `preflight` is the requested method of a CORS preflight, which is an OPTIONS request without a token.
    `headers` are further fields, by name and value, and `address` is the client's, empty if it is unknown.
    """

    method: str
    target: str
    host: str = ""
    certificate: str = ""
    proof: str = ""
    preflight: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    address: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class PolicyRule:
    """A rule under one of its paths: what it matches, and its requirement.

    `index` is that of the rule in the policy, `where` its file and line; `path` is the path template as written. `own`
    is the entry of requests that the enforcer responds to itself: it stands for a rule, and is none of the policy's.
    """

    rule: Rule
    index: int
    path: str
    pattern: RequestPattern
    requirement: Requirement
    where: str
    own: bool = False

    @property
    def reports(self) -> bool:
        """Whether the rule is in report mode: a denied request is forwarded nevertheless."""
        return self.rule.mode == "report"


@dataclass(frozen=True, slots=True, eq=False)
class RoutedRequest:
    """A parsed request and the rule that matches it.

    `preflighted` is the requested method of a CORS preflight that the rule allows. `sent` is why a token beside the
    fields of the request would not be accepted, None if it would. `parting` is where the readings of an ambiguous
    path lead; there is no rule then.
    """

    target: Target
    method: bytes
    host: bytes
    entry: PolicyRule | None
    reports: bool
    certificate: str
    proof: str
    view: RequestView
    preflighted: bytes | None = None
    sent: NoToken | None = None
    parting: Parting[PolicyRule] | None = None

    @property
    def answered(self) -> bool:
        """Whether it is a CORS preflight that the enforcer answers itself."""
        return self.preflighted is not None and self.entry is not None and self.entry.rule.cors_preflight == "answer"

    def decide(self, evidence: Evidence, now: float, *, enforced: bool = False) -> Allow | Deny:
        """Decide the request at `now`, seconds since the epoch; `enforced` ignores report mode."""
        if self.preflighted is not None:
            evidence = SkippedVerification.PREFLIGHT
        if self.parting is not None:
            evidence = SkippedVerification.AMBIGUOUS_PATH
        requirement = None if self.entry is None else self.entry.requirement
        request, reports = self.view, self.reports and not enforced
        bound = isinstance(evidence, ActiveToken) and evidence.bound
        if isinstance(evidence, ActiveToken | InactiveToken) and (bound or self.proof):
            return decide_bound(requirement, evidence, self.check_possession, request, now, reports)
        return decide(requirement, evidence, request, now, reports)

    def check_possession(self, answer: ActiveToken) -> Proven | PossessionFault:
        """Return whether the sender holds what the token is bound to."""
        return with_key(answer, self.proof) if self.proof else with_certificate(answer, self.certificate)


class Policy:
    """Compiled rules, each with its file and line; `mode` is that of requests that match no rule.

    `hierarchy` are the scopes that include others, `resources` those whose metadata the enforcer serves. `scope_claims`
    returns the claims that may hold the scopes of a token, by the rule that its request matches and its issuer.
    """

    def __init__(
        self,
        rules: Iterable[tuple[Rule, str]],
        mode: Mode = "enforce",
        hierarchy: ScopeHierarchy = NO_HIERARCHY,
        resources: Sequence[ProtectedResource] = (),
        scope_claims: Callable[[Rule | None, str | None], ScopeClaims] = lambda rule, issuer: SCOPE_CLAIMS,
        cookie_origins: Sequence[str] = (),
    ) -> None:
        self._cookie_use = CookieUse(cookie_origins)
        self.hierarchy = hierarchy
        self.scope_claims = scope_claims
        self._reports = mode == "report"
        self.entries = tuple(
            entry for index, (rule, where) in enumerate(rules) for entry in _entries(index, rule, where, hierarchy)
        )
        written = [rule for _, rule in self.rules]
        own = (_own_entry(*served) for served in metadata_patterns(resources, written))
        self.matcher = Matcher((entry.pattern, entry) for entry in (*own, *self.entries))

    @property
    def rules(self) -> Sequence[tuple[int, Rule]]:
        """The rules with their indexes; `entries` has a rule once for each of its paths."""
        return [*{entry.index: entry.rule for entry in self.entries}.items()]

    def locate(self, request: PolicyRequest) -> RoutedRequest:
        """Parse a request and find its rule; raises MalformedRequestError as the enforcer does."""
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
        located = settle(self.matcher, target, host) if target.ambiguous else self.matcher.at(target.segments, host)
        methods = cast("dict[bytes | None, PolicyRule | Parting[PolicyRule]] | None", located)  # it is only read
        match = None if methods is None else choose(methods, method)
        lines = [piece for name, value in request.headers for piece in (_encode(name), b": ", _encode(value), b"\r\n")]
        entry = match if isinstance(match, PolicyRule) else None
        sent, view = _read_places(entry, method, target, host, lines, request.address, self._cookie_use)
        held = request.certificate, request.proof, view
        if method == b"OPTIONS" and request.preflight and methods is not None:
            requested = _encode(request.preflight)
            allowing = choose(methods, requested)
            if (
                isinstance(allowing, PolicyRule)
                and allowing.requirement.preflight
                and not _has_token(allowing, target, lines)
            ):
                return RoutedRequest(target, method, host, allowing, allowing.reports, *held, preflighted=requested)
        if isinstance(match, Parting):
            reports = all(self._reports if value is None else value.reports for value in match.values or [None])
            return RoutedRequest(target, method, host, None, reports, *held, parting=match)
        # A method that is never forwarded is not forwarded in report mode either.
        reports = match.reports if match is not None else self._reports and method not in UNSERVED
        return RoutedRequest(target, method, host, match, reports, *held, sent=sent)

    def readings(self, located: RoutedRequest) -> list[tuple[Reading, PolicyRule | None, bool]]:
        """Return the readings of an ambiguous path, as `ambiguity.compare` does; none of any other path."""
        if not located.target.ambiguous:
            return []
        return compare(self.matcher, located.target, located.host, located.preflighted or located.method)


def token_evidence(answer: VerificationResult | None, located: RoutedRequest) -> VerificationResult | NoToken:
    """Return the evidence of a request with such a token in the first of its rule's places; None: no token."""
    if answer is None:
        return NoToken.INVALID_REQUEST if located.sent is NoToken.INVALID_REQUEST else NoToken.MISSING
    return answer if located.sent is None else located.sent


def _has_token(entry: PolicyRule, target: Target, lines: list[bytes]) -> bool:
    """Return whether a request has a token in a place that a rule reads: then it is not a preflight."""
    settings = entry.rule.token_from
    if settings is None:
        return False
    places = Places(settings, restores_authorization=False)
    return places.take(None, 0, lines, target.origin_form).token is not NoToken.MISSING


def _read_places(
    entry: PolicyRule | None,
    method: bytes,
    target: Target,
    host: bytes,
    lines: list[bytes],
    address: str,
    cookie_use: CookieUse,
) -> tuple[NoToken | None, RequestView]:
    """Return why a token would not be accepted beside these fields, and the request without the tokens that it has."""
    settings = None if entry is None else entry.rule.token_from
    if settings is None:
        return None, RequestView(target.segments, target.query, host, lines, address)
    fields = [lines[index + 2] for index in range(0, len(lines), 4) if lines[index].lower() == b"authorization"]
    places = Places(settings, restores_authorization=False)
    taken = places.take(fields[-1] if fields else None, len(fields), lines, target.origin_form)
    view = RequestView(target.segments, taken.target.partition(b"?")[2], host, taken.lines, address)
    if taken.place:
        return NoToken.INVALID_REQUEST, view
    in_cookie = settings.cookie is not None and not (settings.bearer or settings.basic or settings.header)
    if in_cookie and places.checks_origin and not cookie_use.allows(method, None, lines, b"https", [host]):
        return NoToken.CROSS_SITE, view
    return None, view


def _entries(index: int, rule: Rule, where: str, hierarchy: ScopeHierarchy) -> Iterator[PolicyRule]:
    for template, (pattern, requirement) in zip(rule.templates, compile_rule(rule, hierarchy), strict=True):
        yield PolicyRule(rule, index, template, pattern, requirement, where)


def _own_entry(pattern: RequestPattern, resource: ProtectedResource) -> PolicyRule:
    path = "/" + b"/".join(pattern.path.sample(b"")).decode()
    rule = Rule(name=f"metadata of {resource.resource}"[:100], path=path, public=True)
    return PolicyRule(rule, -1, path, pattern, compile_rule(rule)[0][1], "resources", own=True)


def _encode(text: str) -> bytes:
    # A surrogate is a byte of the command line that is not UTF-8: it becomes bytes that no valid request contains.
    return text.encode("utf-8", "surrogatepass")
