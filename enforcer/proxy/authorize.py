"""Authorization: the page to read first. It takes a request from its head to a permit or a refusal.

`Authorization.authorize` takes four steps in this order: locate the rule, read the token, verify the token, decide. If
the authorization server has to be asked, it stops after the third step, and `conclude` goes on with the result.

1. Nothing is forwarded without a permit, and only `policy.decision.decide` makes one.
2. If anything goes wrong on the way, the request is not forwarded.
3. In report mode a request is refused only if it cannot be read or is too large: never because of its token, and not
   because the token could not be verified.
4. Nothing here waits, and nothing here knows connections: every other way in (an API, a gateway) can use it as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import time
from typing import Final, NamedTuple

from enforcer.decision_log.buffer import DecisionBuffer
from enforcer.decision_log.record import DecisionRecord, ExchangeEnd, describe_other
from enforcer.decision_log.redaction import (
    UNKNOWN_CREDENTIALS,
    make_request_id,
    recorded_host,
    recorded_path,
    reveals_any,
    sent_request_id,
    unread_path,
)
from enforcer.decision_log.trace import describe
from enforcer.errors import IntrospectionFailure, MalformedRequestError
from enforcer.policy.decision import (
    OTHER_TARGET,
    UNPROVEN,
    WOULD_DENY,
    Allow,
    Deny,
    Evidence,
    Label,
    Reason,
    SkippedVerification,
    decide,
    decide_bound,
)
from enforcer.policy.hierarchy import NO_HIERARCHY
from enforcer.policy.matcher import Methods, choose
from enforcer.policy.request_view import NO_REQUEST, RequestView
from enforcer.proxy.grant import Grant
from enforcer.proxy.messages import responses
from enforcer.proxy.messages.cors import preflight_method
from enforcer.proxy.messages.head import RequestHead
from enforcer.proxy.messages.other_targets import OtherTargets, read_other_targets
from enforcer.proxy.messages.responses import OwnResponse, Refusal
from enforcer.proxy.peer import PROXY_DOOR, Peer
from enforcer.proxy.snapshot import Route, Snapshot
from enforcer.proxy.token_reading import accepted_token, read_token
from enforcer.tokens import bearer
from enforcer.tokens.bearer import DPoPToken, NoToken
from enforcer.tokens.claims import NEVER, ActiveToken
from enforcer.tokens.dpop.possession import PossessionFault, Proven, with_certificate
from enforcer.tokens.places.places import Places, TakenToken
from enforcer.tokens.purge import Purge
from enforcer.tokens.verifier import LookupOptions, VerificationFailure, VerificationListener, VerificationOutcome
from enforcer.wire.fields import OWS, FieldKind

_log: Final = logging.getLogger("enforcer.proxy")

_clock: Final = time  # a Final is a variable in C, and an imported name an entry of a dict

_MISSING: Final = NoToken.MISSING  # access to an enum's member runs Python code
_PREFLIGHT: Final = SkippedVerification.PREFLIGHT
_PROOF: Final = int(FieldKind.PROOF)
_SUBPROTOCOL: Final = b"sec-websocket-protocol"
_PUBLIC: Final = ("allow", str(Reason.PUBLIC))
_REJECTED: Final = ("error", "request_rejected")
_UNREADABLE_PATH: Final = ("error", "unreadable_path")

Possession = Proven | PossessionFault
"""The result of checking whether the sender of a token holds the key or certificate that it is bound to."""


class Refused(NamedTuple):
    """The outcome for a request that is not forwarded; `closes`: its connection cannot be used after it."""

    refusal: Refusal
    request_id: bytes
    closes: bool


class Responded(NamedTuple):
    """The outcome for a request that the enforcer responds to itself, though it is not refused."""

    response: OwnResponse


class Authorization:
    """The authorization of one request.

    `sender` is the address of the client, and its key. `route` is the rule that applies. `target` is the request target
    in origin form, `segments` its decoded path, `lines` are the field lines to forward; neither has a token that was in
    another place than Authorization. Once there is a permit, `identity` are the identity field lines of the sender that
    it is for. `purges` are those of the token cache since it began. `unlogged` is the client's key, and the record that
    is logged when the exchange ends.
    """

    __slots__ = (
        "_age", "_decided_at", "_decisions", "_head", "_known_secrets", "_others", "_peer", "_possession",
        "_taken", "_token_with_proof", "_verified_from", "identity", "lines", "purges", "route", "segments", "sender",
        "snapshot", "target", "unlogged",
    )  # fmt: skip

    def __init__(self, head: RequestHead, snapshot: Snapshot, peer: Peer, decisions: DecisionBuffer) -> None:
        self._head = head
        self._peer = peer
        self.sender = peer.own if head.special is None else peer.sender(head, snapshot.forwarding)
        self._decisions = decisions
        self._others: OtherTargets = ()
        self._taken: TakenToken | None = None  # the token, if the rule reads it from other places than Authorization
        self._token_with_proof: bytes | None = None  # the token if it came with the DPoP scheme
        self._possession: Possession | None = None  # None: it was not checked
        self._known_secrets: Sequence[bytes] | None = None  # None: they were not needed yet
        self._verified_from = 0.0  # when the verification began, and the age of its result: only for the debug log
        self._age = NEVER
        self._decided_at = 0.0
        self.snapshot = snapshot
        self.route: Route = snapshot.no_route
        self.target = head.target
        self.lines = head.lines
        self.segments: Sequence[bytes] = ()
        self.identity = b""
        self.purges: tuple[Purge, ...] = ()
        self.unlogged: tuple[str, DecisionRecord] | None = None

    def authorize(self, listener: VerificationListener) -> Allow | Refused | Responded | None:
        """Return the permit, the refusal or another response of our own; None if the token must be verified first.

        After None, `listener` gets the verification result, later and exactly once, and passes it to `conclude`.
        """
        head, snapshot = self._head, self.snapshot

        # 1. Locate the rule.
        try:
            target, methods = snapshot.routes.locate(head.target, head.host)
        except MalformedRequestError as error:
            return self.reject(responses.malformed(str(error), error.status), _UNREADABLE_PATH)
        if head.special is not None:
            try:
                self._others = read_other_targets(head)
            except MalformedRequestError as malformed:
                return self.reject(responses.malformed(str(malformed), malformed.status))
        if target.authority is not None and target.authority.lower() != head.host.lower():
            return self.reject(responses.malformed("Host: not the one of the request target"))
        self.target, self.segments = target.origin_form, target.segments
        route = None if methods is None else choose(methods, head.method)
        if route is None:
            route = snapshot.without_rule(head.method)
        self.route = route

        # 2. Read the token.
        places = route.places
        if places is not None:
            self._take_token(places)
        if not route.needs_token:
            if route.responses is not None:
                route.metrics.decisions[_PUBLIC].value += 1
                return Responded(route.responses.get(head.method) or route.responses[None])
            return self._conclude_without_token(route.without_token, methods)
        if places is None:
            token = bearer.parse(head.authorization, head.authorizations)
        else:
            token = self._token_in(places)
        if isinstance(token, DPoPToken):
            token = token.token
            self._token_with_proof = token if isinstance(token, bytes) else b""
        if not isinstance(token, bytes):
            return self._conclude_without_token(token, methods)
        if len(token) > snapshot.limits.token:
            return self.reject(responses.TOKEN_TOO_LARGE)

        # 3. Verify the token: from the cache, with the server's keys, or by asking the authorization server.
        now = _clock()
        if snapshot.debug:
            self._verified_from = now
        lookup = self._lookup_for_others() if self._others else route.lookup
        verification = route.verifier.verify(token, now, listener, lookup)
        if verification is None:
            return None

        # 4. Decide.
        return self.conclude(verification, now)

    def conclude(self, verification: VerificationOutcome, now: float) -> Allow | Refused:
        """Return the permit or the refusal that follows from the verification result at `now`, in epoch seconds."""
        route = self.route
        if isinstance(verification, VerificationFailure):
            reason, refusal = _read_failure(verification)
            decision = decide(route.requirement, reason, NO_REQUEST, 0.0, route.report_only)
            return self._outcome(decision, reason, refusal, detail=verification.detail)
        token = verification.result
        request = self._view() if route.reads_request else NO_REQUEST
        if self.snapshot.debug:
            self._age = max(self._verified_from - verification.fetched_at, 0.0)
        self._decided_at = now
        if self._token_with_proof is None:
            decision = decide(route.requirement, token, request, now, route.report_only)
        else:
            decision = UNPROVEN
        if decision is UNPROVEN:
            if isinstance(token, ActiveToken) and not token.bound:
                self._possession = PossessionFault.UNBOUND
            decision = decide_bound(route.requirement, token, self._check_possession, request, now, route.report_only)
        return self._outcome(decision, token, identity=verification.identity)

    def reject(self, refusal: Refusal, label: Label = _REJECTED) -> Refused:
        """Refuse a request that cannot be authorized because it cannot be read, or is too large."""
        self.route.metrics.decisions[label].value += 1
        request_id = self.request_id()
        self._record(request_id, label, None, refusal)
        return Refused(refusal, request_id, True)

    def grant(self, permit: Allow) -> Grant:
        """Return what the request was allowed by, to authorize it again while it goes on."""
        head = self._head
        return Grant(
            head,
            self._peer,
            head.method,
            self.target,
            self.lines,
            self._sent_token(),
            self.route,
            permit,
            self.purges,
            self._decided_at,
        )

    def request_id(self) -> bytes:
        """Return the id to find this request's decision by: the client's own if it may be recorded, else a new one."""
        return self._sent_id() or make_request_id()

    def response_fields(self, lines: list[bytes]) -> list[bytes]:
        """Return the field lines of a response that switches protocols, with a subprotocol if the client expects one.

        A browser that offered some requires one in the response, and the app does not know those that were taken out.
        """
        subprotocol = b"" if self._taken is None else self._taken.subprotocol
        if not subprotocol:
            return lines
        for index in range(0, len(lines), 4):
            if lines[index].lower() == _SUBPROTOCOL:
                return lines
        return [*lines, b"Sec-WebSocket-Protocol", b": ", subprotocol, b"\r\n"]

    def _take_token(self, places: Places) -> None:
        """Take the token out of the request."""
        head = self._head
        self._taken = taken = places.take(head.authorization, head.authorizations, head.lines, self.target)
        self.lines, self.target = taken.lines, taken.target

    def _token_in(self, places: Places) -> bytes | NoToken | DPoPToken:
        """Return the token that was taken out of the request; a cookie may come only from a page of this site."""
        taken, head = self._taken, self._head
        return (
            _MISSING if taken is None else accepted_token(places, taken, head, head.method, self._peer, self.snapshot)
        )

    def _sent_token(self) -> bytes | None:
        """Return the token as sent, in Authorization if it is nowhere else."""
        taken = self._taken
        if taken is not None and isinstance(taken.token, bytes):
            return taken.token
        authorization = self._head.authorization
        return None if authorization is None else authorization.strip(OWS).rpartition(b" ")[2]

    def _secrets(self) -> Sequence[bytes]:
        """Return all values that are tokens, or may be, under this rule or another one."""
        known = self._known_secrets
        if known is None:
            head = self._head
            secrets = {} if head.authorization is None else {head.authorization: None}
            for places in self.snapshot.token_places:
                taken = places.take(head.authorization, head.authorizations, head.lines, head.target)
                if taken.secrets is None:
                    self._known_secrets = UNKNOWN_CREDENTIALS
                    return UNKNOWN_CREDENTIALS
                secrets |= dict.fromkeys(taken.secrets)
            self._known_secrets = known = tuple(secrets)
        return known

    def _sent_id(self) -> bytes | None:
        return sent_request_id(self._head.lines, self._head.target, self._secrets())

    def _conclude_without_token(self, reason: Evidence, methods: Methods[Route] | None) -> Allow | Refused | Responded:
        """Decide without a token. OPTIONS may be a CORS preflight for a method whose rule lets preflights pass."""
        head = self._head
        preflight: bytes | None = None
        if reason is _MISSING and head.method == b"OPTIONS" and methods is not None:
            preflight = preflight_method(head)
            route = None if preflight is None else choose(methods, preflight)
            allows = route is not None and route.requirement is not None and route.requirement.preflight
            # A preflight has no token, so that none of the announced rule's places has to be removed.
            if allows and route is not None and self._is_without_token(route):
                self.route = route
                reason = _PREFLIGHT
        rule = self.route
        request = self._view() if rule.reads_request else NO_REQUEST
        outcome = self._outcome(decide(rule.requirement, reason, request, 0.0, rule.report_only), reason)
        cors = self.snapshot.cors
        if reason is _PREFLIGHT and rule.answers_preflights and cors is not None and isinstance(outcome, Allow):
            return Responded(cors.answer(head, preflight or b""))
        return outcome

    def _is_without_token(self, route: Route) -> bool:
        """Return whether another rule would find no token in this request."""
        return read_token(route.places, self._head, self._head.method, self._peer, self.snapshot) is _MISSING

    def _view(self) -> RequestView:
        """Return the request as the rule's conditions see it."""
        head, requirement = self._head, self.route.requirement
        address = ""
        if requirement is not None and requirement.reads_address:
            address = self._peer.known_address(head, self.snapshot.forwarding)
        return RequestView(self.segments, self.target.partition(b"?")[2], head.host, self.lines, address)

    def _check_possession(self, token: ActiveToken) -> Possession:
        """Check the certificate of the sender (RFC 8705), or the DPoP proof of this request (RFC 9449 §7.1).

        A proof is for one request, so it is checked on every request; the token's verification result is cached.
        """
        self._possession = possession = self._compare(token)
        if isinstance(possession, PossessionFault):
            _log.debug("a sender-constrained token is refused: %s", possession)
        return possession

    def _compare(self, token: ActiveToken) -> Possession:
        head, peer, snapshot = self._head, self._peer, self.snapshot
        if self._token_with_proof is None:
            return with_certificate(token, peer.thumbprint(head, snapshot.forwarding))
        # Cryptography is a large import, and most tokens are bound to nothing.
        from enforcer.tokens.dpop.proof import ProofRequest, check

        proofs = [value.strip(OWS) for _, value in (head.special or {}).get(_PROOF, ())]
        request = ProofRequest(
            method=head.method,
            origins=snapshot.origins.candidates(*peer.origin(head, snapshot.forwarding)),
            segments=self.segments,
            token=self._token_with_proof,
            client=self.sender[1],
        )
        return check(proofs, request, token, snapshot.proof_settings, snapshot.proof_state, _clock())

    def _outcome(
        self,
        decision: Allow | Deny,
        evidence: Evidence,
        refusal: Refusal | None = None,
        identity: bytes = b"",
        detail: str = "",
    ) -> Allow | Refused:
        """Count and record a decision; `refusal` overrides the rule's own refusal for the reason."""
        route = self.route
        if self._others and isinstance(decision, Allow):
            denial = self._refuse_others(decision)
            if denial is not None:
                decision, refusal, detail = OTHER_TARGET, *denial
        refusals = route.refusals.bearer if self._token_with_proof is None else route.refusals.dpop
        route.metrics.decisions[decision.label].value += 1
        if isinstance(decision, Allow):
            if decision.token is not None:
                self.identity = identity
            if route.logs_allowed:
                label, reason = decision.label
                if refusal is None and label == WOULD_DENY:
                    refusal = refusals[Reason(reason)]
                self._record(self._sent_id(), decision.label, evidence, refusal, detail)
            return decision
        if refusal is None:
            refusal = refusals[decision.reason]
        request_id = self.request_id()
        self._record(request_id, decision.label, evidence, refusal, detail)
        return Refused(refusal, request_id, evidence is SkippedVerification.AMBIGUOUS_PATH)

    def _refuse_others(self, permit: Allow) -> tuple[Refusal, str] | None:
        """Return the refusal of a method or target that a field names, and which it is; None if all are allowed.

        The refusal is that of its own rule. Each is authorized like a request with the same token, so that it does not
        matter which one the app serves.
        """
        granted = self.grant(permit)
        for method, target in self._others:
            try:
                refusal = granted._replace(method=method, target=target).reauthorize(self.snapshot)
            except MalformedRequestError as error:
                return responses.malformed(f"Destination: {error.why}", error.status), ""
            if refusal is not None:
                return refusal, self._describe_other(method, target)
        return None

    def _describe_other(self, method: bytes, written: bytes) -> str:
        """Return which method and target was denied, by which rule, without a token that the target may have."""
        target, route = self.snapshot.locate(method, written, self._head.host)
        path = recorded_path(target.origin_form, target.segments, self._secrets())
        rule = None if route.requirement is None else route.requirement.rule
        return describe_other(method, path, rule, route.parting)

    def _lookup_for_others(self) -> LookupOptions:
        """Return the options for cached results that the rules of all targets accept."""
        options = [self.route.lookup]
        for method, target in self._others:
            try:
                _, route = self.snapshot.locate(method, target, self._head.host)
                options.append(route.lookup)
            except MalformedRequestError:
                continue  # the request is refused later, because it cannot be read
        ages = [option.max_age for option in options if option.max_age is not None]
        stale = not [option for option in options if not option.stale]
        return LookupOptions(max_age=min(ages, default=None), stale=stale)

    def _record(
        self,
        request_id: bytes | None,
        label: Label,
        evidence: Evidence | None,
        refusal: Refusal | None,
        detail: str = "",
    ) -> None:
        """Record a decision if the settings say so; `evidence` is None if the request was rejected unread."""
        retention = self.snapshot.retention
        if retention is None and not self.snapshot.debug:
            return
        head, requirement = self._head, self.route.requirement
        secrets = self._secrets()
        if evidence is None:
            path, host = unread_path(head.target, secrets), b""
        else:
            path = recorded_path(self.target, self.segments, secrets)
            host = recorded_host(head.host, secrets) if secrets else head.host
        rule, possession = None if requirement is None else requirement.rule, self._possession
        forwarded = (label[0] == "allow" or label[0] == WOULD_DENY) and self._peer.door == PROXY_DOOR
        address, key = self.sender
        query, hierarchy = b"", NO_HIERARCHY
        lines: tuple[bytes, ...] = ()
        if requirement is not None:
            hierarchy = requirement.scope_hierarchy
            if evidence is not None and self.route.reads_request:
                observed_query, observed_lines = requirement.observed(self._view())
                if not reveals_any((observed_query, *observed_lines), secrets):
                    query, lines = observed_query, observed_lines
        record = DecisionRecord(
            *(_clock(), request_id, head.method, path, rule, label, evidence, possession, refusal),
            detail=detail or self.route.parting,
            client=address,
            host=host,
            upstream=str(self.route.upstream.pool.endpoint) if forwarded else "",
            query=query,
            lines=lines,
            hierarchy=hierarchy,
            door=self._peer.door,
        )
        if self.snapshot.debug:
            self._trace(record)
        if retention is not None:
            self._decisions.keep(key, record, retention)
            if retention.logged != "none" and retention.logs(label):
                self.unlogged = key, record

    def _trace(self, record: DecisionRecord) -> None:
        """Log the steps of a decision."""
        scheme = "Authorization, DPoP" if self._token_with_proof is not None else "Authorization, Bearer"
        if self._taken is not None and self._taken.place not in ("", "bearer"):
            scheme = self._taken.place
        has_token = record.evidence is not None and not isinstance(record.evidence, NoToken)
        has_token = has_token and record.evidence is not SkippedVerification.PREFLIGHT
        _log.debug("%s", describe(record, self.route.requirement, scheme if has_token else "", self._age))

    def log(self, status: int, seconds: float, body: int) -> None:
        """Log the decision, now that the exchange has ended; see `ExchangeEnd`."""
        unlogged, retention = self.unlogged, self.snapshot.retention
        self.unlogged = None
        if unlogged is not None and retention is not None:
            client, record = unlogged
            self._decisions.log(client, record._replace(end=ExchangeEnd(status, seconds, body)), retention)


def _read_failure(failure: VerificationFailure) -> tuple[Evidence, Refusal]:
    if isinstance(failure.reason, IntrospectionFailure):
        return failure.reason, responses.not_verified(failure.retry_after)
    return SkippedVerification.TOO_MANY, responses.too_many_unseen_tokens(failure.retry_after)
