"""Evaluates requests by a policy without a network, with the matcher and the decision of the request path.

Every tool that explains, tests or compares a policy uses it, so that none can decide differently from the enforcer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

from enforcer.analysis.request_heads import UnreadableRequestError, allows_cookie, make_head, with_token
from enforcer.errors import MalformedRequestError
from enforcer.policy.ambiguity import Parting, Reading, compare, settle
from enforcer.policy.decision import (
    OTHER_TARGET,
    Allow,
    Deny,
    Evidence,
    Reason,
    SkippedVerification,
    decide,
    decide_again,
    decide_bound,
)
from enforcer.policy.hierarchy import NO_HIERARCHY, ScopeHierarchy
from enforcer.policy.matcher import Matcher, RequestPattern, choose
from enforcer.policy.protected_resources import metadata_patterns
from enforcer.policy.request_view import RequestView
from enforcer.policy.requirement import Requirement, compile_rule
from enforcer.policy.rules import UNSERVED, Mode, Rule
from enforcer.proxy.messages.forwarding import Forwarding
from enforcer.proxy.messages.head import RequestHead
from enforcer.proxy.messages.other_targets import OtherTargets, read_other_targets
from enforcer.proxy.messages.responses import Refusal, malformed
from enforcer.settings.forwarding import ForwardingSettings
from enforcer.settings.limits import Limits
from enforcer.settings.resources import ProtectedResource
from enforcer.tokens.bearer import NoToken
from enforcer.tokens.claims import SCOPE_CLAIMS, ActiveToken, ScopeClaims
from enforcer.tokens.dpop.possession import PossessionFault, Proven, with_certificate, with_key
from enforcer.tokens.introspection.response import InactiveToken, VerificationResult
from enforcer.tokens.places.cross_site import CookieUse
from enforcer.tokens.places.places import Places
from enforcer.wire.fields import METHODS
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
class OtherRequest:
    """A method or target that a field of a request names besides its own, and the rule that matches it.

    `without_token` is the evidence for it if the token of the request means nothing to its rule, None if it does.
    `unread` is the reason why its rule does not get the token from its place in the request, None if it does.
    `unreadable` is the refusal of a target that cannot be read, else None.
    """

    method: bytes
    target: bytes
    entry: PolicyRule | None
    reports: bool
    view: RequestView
    without_token: Evidence | None
    unread: NoToken | None
    unreadable: Refusal | None = None

    def denial(self, permit: Allow, now: float) -> Reason | None:
        """Return why the rules deny it to a request that they permit otherwise; None if they allow it."""
        if self.unreadable is not None:
            return Reason.INVALID_REQUEST
        requirement = None if self.entry is None else self.entry.requirement
        without = self.without_token or (None if permit.token is None else self.unread)
        decision = decide_again(requirement, permit, without, self.view, now, self.reports)
        return decision.reason if isinstance(decision, Deny) else None


@dataclass(frozen=True, slots=True, eq=False)
class RoutedRequest:
    """A parsed request and the rule that matches it.

    `preflighted` is the requested method of a CORS preflight that the rule allows. `sent` is why a token beside the
    fields of the request would not be accepted, None if it would. `parting` is where the readings of an ambiguous
    path lead; there is no rule then. `others` are the methods and targets that its fields name besides its own.
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
    others: tuple[OtherRequest, ...] = ()

    @property
    def answered(self) -> bool:
        """Whether it is a CORS preflight that the enforcer answers itself."""
        return self.preflighted is not None and self.entry is not None and self.entry.rule.cors_preflight == "answer"

    def decide(self, evidence: Evidence, now: float, *, enforced: bool = False) -> Allow | Deny:
        """Decide the request at `now`, seconds since the epoch; `enforced` ignores report mode."""
        decision = self._decide(evidence, now, enforced=enforced)
        if isinstance(decision, Allow) and any(other.denial(decision, now) is not None for other in self.others):
            return OTHER_TARGET
        return decision

    def decide_others(self, evidence: Evidence, now: float) -> list[tuple[OtherRequest, Reason | None]] | None:
        """Return the other targets of a permitted request, each with the reason if it is denied.

        None if the request is denied by itself.
        """
        decision = self._decide(evidence, now, enforced=False)
        if isinstance(decision, Deny):
            return None
        return [(other, other.denial(decision, now)) for other in self.others]

    def _decide(self, evidence: Evidence, now: float, *, enforced: bool) -> Allow | Deny:
        """Decide the request by its own method and target."""
        if self.preflighted is not None:
            evidence = SkippedVerification.PREFLIGHT
        if self.parting is not None:
            evidence = SkippedVerification.AMBIGUOUS_PATH
        requirement = None if self.entry is None else self.entry.requirement
        if requirement is not None and requirement.nobody:
            evidence = NoToken.MISSING  # the enforcer does not verify the token
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
    returns the claims that may hold the scopes of a token, by the rule that its request matches and its issuer. Heads
    are read by `forwarding` and `limits`, with their defaults if they are None.
    """

    def __init__(
        self,
        rules: Iterable[tuple[Rule, str]],
        mode: Mode = "enforce",
        hierarchy: ScopeHierarchy = NO_HIERARCHY,
        resources: Sequence[ProtectedResource] = (),
        scope_claims: Callable[[Rule | None, str | None], ScopeClaims] = lambda rule, issuer: SCOPE_CLAIMS,
        cookie_origins: Sequence[str] = (),
        forwarding: ForwardingSettings | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._forwarding = Forwarding(forwarding or ForwardingSettings())
        self._limits = limits or Limits()
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
        """Parse a request and find its rule; raises UnreadableRequestError as the enforcer refuses it."""
        if request.method not in METHODS:
            raise UnreadableRequestError(malformed("request line: unknown method", 501))
        fields = [(_encode(name), _encode(value)) for name, value in request.headers]
        parts = request.method.encode(), _encode(request.target), _encode(request.host), fields
        head = make_head(*parts, self._forwarding, self._limits)
        try:
            target = parse(head.target)
            others = read_other_targets(head)
        except MalformedRequestError as error:
            raise UnreadableRequestError(malformed(str(error), error.status)) from None
        host = head.host
        if target.authority is not None:
            if host and host.lower() != target.authority.lower():
                raise UnreadableRequestError(malformed("Host: not the one of the request target"))
            host = target.authority
        located = self._route(request, head, target, host)
        return replace(located, others=tuple(self._others(located, head, others)))

    def _route(self, request: PolicyRequest, head: RequestHead, target: Target, host: bytes) -> RoutedRequest:
        """Find the rule of a request."""
        method = head.method
        methods = self._settled(target, host)
        match = None if methods is None else choose(methods, method)
        entry = match if isinstance(match, PolicyRule) else None
        sent, view = _read_places(entry, head, target, host, request.address, self._cookie_use)
        held = request.certificate, request.proof, view
        if method == b"OPTIONS" and request.preflight and methods is not None:
            requested = _encode(request.preflight)
            allowing = choose(methods, requested)
            if (
                isinstance(allowing, PolicyRule)
                and allowing.requirement.preflight
                and not _has_token(allowing, target, head.lines)
            ):
                return RoutedRequest(target, method, host, allowing, allowing.reports, *held, preflighted=requested)
        reports = self._reports_on(match, method)
        if isinstance(match, Parting):
            return RoutedRequest(target, method, host, None, reports, *held, parting=match)
        return RoutedRequest(target, method, host, match, reports, *held, sent=sent)

    def _settled(self, target: Target, host: bytes) -> dict[bytes | None, PolicyRule | Parting[PolicyRule]] | None:
        """Return what a target leads to, by method, for `matcher.choose`."""
        matcher = self.matcher
        located = settle(matcher, target, host) if target.ambiguous else matcher.matches(target.segments, host)
        return cast("dict[bytes | None, PolicyRule | Parting[PolicyRule]] | None", located)  # it is only read

    def _others(self, located: RoutedRequest, head: RequestHead, others: OtherTargets) -> Iterator[OtherRequest]:
        """Yield the further methods and targets of a request, each with its rule."""
        if located.entry is not None and located.entry.own:
            return  # the enforcer responds itself
        own = None if located.entry is None else located.entry.rule
        sent = with_token(None if own is None else own.token_from, head)
        for method, written in others:
            try:
                target = parse(written)
            except MalformedRequestError as error:
                refusal = malformed(f"Destination: {error.why}", error.status)
                yield OtherRequest(method, written, None, False, located.view, None, None, refusal)
                continue
            methods = self._settled(target, head.host)
            match = None if methods is None else choose(methods, method)
            entry = match if isinstance(match, PolicyRule) else None
            rule = None if entry is None else entry.rule
            without: Evidence | None = NoToken.MISSING
            if isinstance(match, Parting):
                without = SkippedVerification.AMBIGUOUS_PATH
            elif _servers(rule) == _servers(own):
                without = None
            view = RequestView(target.segments, target.query, head.host, located.view.lines, located.view.address)
            unread = None if rule is None else sent.fault_in(rule.token_from, head, self._cookie_use)
            yield OtherRequest(method, written, entry, self._reports_on(match, method), view, without, unread)

    def _reports_on(self, match: PolicyRule | Parting[PolicyRule] | None, method: bytes) -> bool:
        """Return whether a denied request is forwarded nevertheless."""
        if isinstance(match, Parting):
            return all(self._reports if value is None else value.reports for value in match.values or [None])
        # A method that is never forwarded is not forwarded in report mode either.
        return match.reports if match is not None else self._reports and method not in UNSERVED

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


def _servers(rule: Rule | None) -> tuple[str, ...]:
    """Return the names of the authorization servers that a rule names; none stands for the configuration's first."""
    return () if rule is None else rule.authorization_servers


def _has_token(entry: PolicyRule, target: Target, lines: list[bytes]) -> bool:
    """Return whether a request has a token in a place that a rule reads: then it is not a preflight."""
    settings = entry.rule.token_from
    if settings is None:
        return False
    places = Places(settings, restores_authorization=False)
    return places.take(None, 0, lines, target.origin_form).token is not NoToken.MISSING


def _read_places(
    entry: PolicyRule | None, head: RequestHead, target: Target, host: bytes, address: str, cookie_use: CookieUse
) -> tuple[NoToken | None, RequestView]:
    """Return why a token would not be accepted beside these fields, and the request without the tokens that it has."""
    settings = None if entry is None else entry.rule.token_from
    if settings is None:
        return None, RequestView(target.segments, target.query, host, head.lines, address)
    places = Places(settings, restores_authorization=False)
    taken = places.take(head.authorization, head.authorizations, head.lines, target.origin_form)
    view = RequestView(target.segments, taken.target.partition(b"?")[2], host, taken.lines, address)
    if taken.place:
        return NoToken.INVALID_REQUEST, view
    in_cookie = settings.cookie is not None and not (settings.bearer or settings.basic or settings.header)
    if in_cookie and places.checks_origin and not allows_cookie(cookie_use, head):
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
