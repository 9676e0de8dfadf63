"""The snapshot: one configuration, ready for use, immutable and swapped whole.

A request keeps the snapshot that it began with.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from enforcer.counters import RouteMetrics, UpstreamMetrics
from enforcer.decision_log.buffer import RetentionSettings
from enforcer.errors import UpstreamError, UpstreamFailure
from enforcer.policy.ambiguity import Parting, settle
from enforcer.policy.decision import Evidence, SkippedVerification
from enforcer.policy.matcher import Matcher, Methods, choose
from enforcer.policy.requirement import Requirement
from enforcer.policy.rules import UNSERVED
from enforcer.proxy.messages.cors import Cors
from enforcer.proxy.messages.forwarding import Forwarding
from enforcer.proxy.messages.responses import OwnResponse, RuleRefusals
from enforcer.settings.jwt import ProofSettings
from enforcer.settings.limits import Limits, Timeouts
from enforcer.tokens.bearer import NoToken
from enforcer.tokens.dpop.origins import Origins
from enforcer.tokens.dpop.proof_state import ProofState
from enforcer.tokens.places.cross_site import CookieUse
from enforcer.tokens.places.places import Places, combine
from enforcer.tokens.verifier import LookupOptions, TokenVerifier
from enforcer.wire.pool import Pool
from enforcer.wire.target import Target, parse

_log: Final = logging.getLogger("enforcer.proxy")


@dataclass(frozen=True, slots=True, eq=False)
class Upstream:
    """A server that requests are forwarded to; `authority` is the Host of requests that came without one."""

    pool: Pool
    authority: bytes
    metrics: UpstreamMetrics

    def report_failure(self, error: UpstreamError) -> None:
        """Count a request without a complete response. The upstream did not fail if it got too many requests."""
        self.metrics.errors[error.reason] += 1
        if error.reason is not UpstreamFailure.OVERLOADED and error.reason is not UpstreamFailure.STREAMS:
            self.metrics.failing = True
        _log.warning("upstream %s: %s", self.pool.endpoint, error)

    def report_recovery(self) -> None:
        """Note the first complete response after a failure."""
        self.metrics.failing = False
        _log.info("upstream %s responds again", self.pool.endpoint)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Route:
    """A rule with everything that a request under it needs.

    - `requirement`: the rule's conditions; None in the route of requests that no rule matches.
    - `report_only`: a denied request is forwarded and counted (`mode: report`).
    - `logs_allowed`: decisions to forward are recorded too.
    - `reads_request`: the rule has conditions that depend on the request.
    - `needs_token`: the token must be verified.
    - `ends_with_token`: a stream or tunnel ends when its token expires.
    - `places`: the places of the token; None if it is only in the Authorization field, as a bearer token.
    - `read_fields`: the fields that the rule reads besides Authorization and Cookie, as `wire.fields.fold` writes them.
    - `answers_preflights`: CORS preflights for its methods are not forwarded (`cors_preflight: answer`).
    - `responses`: the enforcer's own responses by method (None: any other), if it forwards no request of this route.
    - `without_token`: the evidence of a request whose token is not read.
    - `parting`: of the route of an ambiguous path, where its readings lead; otherwise empty.
    """

    requirement: Requirement | None
    report_only: bool
    logs_allowed: bool
    reads_request: bool
    needs_token: bool
    ends_with_token: bool
    refusals: RuleRefusals
    metrics: RouteMetrics
    verifier: TokenVerifier
    upstream: Upstream
    lookup: LookupOptions
    places: Places | None = None
    read_fields: frozenset[bytes] = frozenset()
    answers_preflights: bool = False
    responses: Mapping[bytes | None, OwnResponse] | None = None
    without_token: Evidence = NoToken.MISSING
    parting: str = ""


Located = tuple[Target, Methods[Route] | None]
"""A request target as it was read, and the routes by method that its path leads to, None if no rule has the path."""

_SHORT: Final = 256
"""Maximum length in bytes of a target and its host that is cached; targets with a query are not."""
_CACHED: Final = 4096
"""Maximum number of cached targets: 6 MiB at most."""
_AMBIGUOUS: Final = 1024
"""Maximum number of ambiguous paths whose routes are cached: 4 MiB at most."""
_FEW: Final = 16
"""Maximum number of segments of a path that is cached: each is an object of its own."""


class RouteCache:
    """Finds the routes of a request target, and remembers the most recent targets: most clients repeat theirs.

    The keys include the host only if rules differ by host. `no_route` is the route of requests that no rule matches;
    `token_places` are all places that rules read tokens from, except the default.
    """

    __slots__ = ("_all_fields", "_all_places", "_by_host", "_no_route", "located", "matcher", "settled")

    def __init__(self, matcher: Matcher[Route], no_route: Route, token_places: Sequence[Places] = ()) -> None:
        self.matcher = matcher
        self._all_places = combine((None, *token_places))
        self._all_fields = frozenset([name for places in token_places for name in places.names])
        self._no_route = no_route
        self._by_host = matcher.by_host
        self.located: dict[bytes | tuple[bytes, bytes], Located] = {}
        self.settled: dict[bytes | tuple[bytes, bytes], Methods[Route]] = {}

    def locate(self, raw: bytes, host: bytes) -> Located:
        """Read a request target and find its routes; raises MalformedRequestError."""
        located = self.located.get((raw, host) if self._by_host else raw)
        return self._read(raw, host) if located is None else located

    def _read(self, raw: bytes, host: bytes) -> Located:
        target = parse(raw)
        methods = self._settle(target, host) if target.ambiguous else self.matcher.matches(target.segments, host)
        located = (target, methods)
        if not target.query and len(raw) + len(host) <= _SHORT and len(target.segments) <= _FEW:
            if len(self.located) >= _CACHED:
                self.located.clear()
            self.located[(raw, host) if self._by_host else raw] = located
        return located

    def _settle(self, target: Target, host: bytes) -> Methods[Route]:
        """Return the routes of an ambiguous path, for each method."""
        path = target.path
        key = (path, host) if self._by_host else path
        methods = self.settled.get(key)
        if methods is None:
            methods = Methods(b"")
            partings: dict[str, Route] = {}  # one route for all methods for which the readings part in the same way
            for method, value in settle(self.matcher, target, host).items():
                if isinstance(value, Parting):
                    text = str(value)
                    if text not in partings:
                        partings[text] = self._parted(value, text)
                    methods[method] = partings[text]
                else:
                    methods[method] = value
            if len(path) + len(host) <= _SHORT:
                if len(self.settled) >= _AMBIGUOUS:
                    self.settled.clear()
                self.settled[key] = methods
        return methods

    def _parted(self, parting: Parting[Route], text: str) -> Route:
        """Return the route of requests whose readings part: forwarded only if each of their routes is in report mode.

        They go to the upstream of the plainest reading, without the tokens that the rules of all readings read: it is
        not known which of them the app serves. If there are too many readings, these are all rules.
        """
        routes = [self._no_route if value is None else value for value in parting.values] or [self._no_route]
        reports = all(route.report_only for route in routes)
        places = combine([route.places for route in routes]) if parting.values else self._all_places
        fields = frozenset([name for route in routes for name in route.read_fields])
        return replace(
            self._no_route,
            report_only=reports,
            logs_allowed=reports or self._no_route.logs_allowed,
            needs_token=False,
            upstream=routes[0].upstream,
            places=places,
            read_fields=fields if parting.values else fields | self._all_fields,
            without_token=SkippedVerification.AMBIGUOUS_PATH,
            parting=text,
        )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Snapshot:
    """One configuration, ready for use.

    - `routes`: finds the route of a request. Two routes are for requests that no rule matches: `no_route`, and
      `unserved` for methods that are never forwarded, not even in report mode.
    - `proof_settings`, `origins`, `proof_state`: what DPoP proofs are checked with; the state outlives the snapshot.
    - `token_places`: all places that rules read tokens from, whose values must not be recorded.
    - `cookie_use`: decides which requests may use a token in a cookie.
    - `cors`: the web pages of other origins that may read our own responses; None: no page.
    - `would_deny_field`: the response field that names the reason why a request would have been denied; None: no field.
    - `retention`: which decisions are recorded; None: no decision.
    - `http2`: clients may begin with HTTP/2 on plain text.
    - `debug`: the steps of each decision are logged (`log.level: debug`).
    - `lifetime_token`: an object that ends with the snapshot. A compiled class has no weak references to watch it by.
    """

    routes: RouteCache
    no_route: Route
    unserved: Route
    forwarding: Forwarding
    limits: Limits
    timeouts: Timeouts
    proof_settings: ProofSettings
    origins: Origins
    proof_state: ProofState
    token_places: Sequence[Places]
    cookie_use: CookieUse
    cors: Cors | None
    would_deny_field: bytes | None
    retention: RetentionSettings | None
    http2: bool
    debug: bool
    lifetime_token: Any

    def locate(self, method: bytes, raw: bytes, host: bytes) -> tuple[Target, Route]:
        """Return a request target, parsed, and its route; raises MalformedRequestError."""
        target, methods = self.routes.locate(raw, host)
        route = None if methods is None else choose(methods, method)
        return target, self.without_rule(method) if route is None else route

    def without_rule(self, method: bytes) -> Route:
        """Return the route of a request that no rule matches."""
        return self.unserved if method in UNSERVED else self.no_route
