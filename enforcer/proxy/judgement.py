"""How a request is judged: found a rule for, its token's worth learnt, decided.

1. Nothing is forwarded without the permit that `decide` gives.
2. Whatever goes wrong on the way, the request is not forwarded.
3. Where a rule only reports, nothing but a request that cannot stand, or is too large, is refused: not for what its
   token is worth, nor since nobody says so.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from time import perf_counter, time
from typing import TYPE_CHECKING, Final

from enforcer.decision_log.record import DecisionRecord
from enforcer.decision_log.redaction import make_request_id, recorded_path, sent_request_id
from enforcer.errors import IntrospectionFailure, MalformedRequestError
from enforcer.policy.decision import (
    UNPROVEN,
    WOULD_DENY,
    Allow,
    Deny,
    Evidence,
    Label,
    Reason,
    Unasked,
    decide,
    decide_bound,
)
from enforcer.policy.matcher import Methods, choose
from enforcer.proxy import refusals
from enforcer.proxy.proofs import ProofWaiter
from enforcer.proxy.refusals import Answers, Refusal
from enforcer.proxy.request import RequestHead, preflight
from enforcer.proxy.snapshot import Route
from enforcer.tokens import bearer
from enforcer.tokens.bearer import DPoPToken, NoToken
from enforcer.tokens.cache import CacheEntry
from enforcer.tokens.dpop.possession import PossessionFault, Proven, with_certificate
from enforcer.tokens.introspection.response import ActiveToken
from enforcer.tokens.verifier import VerificationFailure, VerificationOutcome

if TYPE_CHECKING:
    from enforcer.proxy.connection import ClientConnection

_log = logging.getLogger("enforcer.proxy")

_MISSING: Final = NoToken.MISSING  # an enum's member is found by calling Python code


class Judgement(ABC):
    """A `Waiter` for the token's worth; what follows from the verdict is the subclass's."""

    __slots__ = ("_client", "_over", "_route", "_segments", "_started", "request")

    def __init__(self, client: ClientConnection, request: RequestHead) -> None:
        self._client = client
        self.request = request
        self._route: Route = request.snapshot.no_route
        self._over = False

    @abstractmethod
    def _forward(self, permit: Allow, identity: bytes) -> None:
        """Send the request on; `identity` is of the one who is known to have sent it."""

    @abstractmethod
    def _refuse(self, refusal: Refusal, request_id: bytes) -> None:
        """Answer the request; `request_id` is what can be asked about later."""

    @abstractmethod
    def _reject(self, refusal: Refusal) -> None:
        """Refuse a request that cannot be judged, and the connection that it came on."""

    @abstractmethod
    def _give_up(self, refusal: Refusal) -> None:
        """End it whatever its state: with a refusal where the answer has not begun."""

    def begin(self) -> None:
        """Judge the request, and forward or refuse it, now or when the token's worth is known."""
        self._started = perf_counter()
        try:
            self._judge()
        except MalformedRequestError as error:
            self._reject(refusals.malformed(str(error), error.status))
        except Exception:  # noqa: BLE001 - whatever it is, the request is not forwarded
            self._internal_error()

    def _judge(self) -> None:
        request = self.request
        snapshot = request.snapshot
        if request.refusal is not None:
            self._reject(request.refusal)
            return
        key = (request.target, request.host) if snapshot.by_host else request.target
        target, methods = snapshot.located.get(key) or snapshot.locate(request.target, request.host)
        if target.authority is not None and target.authority.lower() != request.host.lower():
            raise MalformedRequestError("Host", "not the one of the request target")
        request.target = target.origin_form
        self._segments = target.segments
        route = None if methods is None else choose(methods, request.method)
        if route is None:
            route = snapshot.without_rule(request.method)
        self._route = route
        evidence = _MISSING
        if route.asks:
            token = bearer.parse(request.authorization, request.authorizations, target.query)
            if isinstance(token, bytes):
                if len(token) > snapshot.limits.token:
                    self._reject(refusals.TOKEN_TOO_LARGE)
                    return
                outcome = route.verifier.verify(token, time(), self, route.demand)
                if isinstance(outcome, CacheEntry):
                    self._conclude(outcome)
                elif outcome is not None:
                    self._decide_unverified(outcome)
                return
            if isinstance(token, DPoPToken):
                self._judge_with_proof(token.token)
                return
            evidence = token
        if evidence is _MISSING and request.method == b"OPTIONS" and methods is not None:
            self._look_for_preflight(methods)
        else:
            self._decide(evidence, None)

    def _look_for_preflight(self, methods: Methods[Route]) -> None:
        """Decide about OPTIONS without a token: it may be a preflight for a method whose rule lets those pass."""
        asked = preflight(self.request)
        route = None if asked is None else choose(methods, asked)
        if route is not None and route.requirement is not None and route.requirement.preflight:
            self._route = route
            self._decide(Unasked.PREFLIGHT, None)
        else:
            self._decide(_MISSING, None)

    def _judge_with_proof(self, token: bytes | NoToken) -> None:
        """Judge a request whose token came with the DPoP scheme."""
        route = self._route
        if isinstance(token, NoToken):
            verdict = decide(route.requirement, token, self._segments, 0.0, route.reports)
            self._settle(verdict, b"", token, route.refusals.dpop)
        elif len(token) > self.request.snapshot.limits.token:
            self._reject(refusals.TOKEN_TOO_LARGE)
        else:
            outcome = route.verifier.verify(token, time(), ProofWaiter(self, token), route.demand)
            if isinstance(outcome, CacheEntry):
                self._conclude_with_proof(outcome, token)
            elif outcome is not None:
                self._decide_unverified(outcome)

    def on_verification(self, outcome: VerificationOutcome, with_proof: bytes | None = None) -> None:
        """Continue with the outcome; `with_proof` is the token, if it came with the DPoP scheme."""
        if self._over:
            return
        try:
            if isinstance(outcome, VerificationFailure):
                self._decide_unverified(outcome)
            elif with_proof is None:
                self._conclude(outcome)
            else:
                self._conclude_with_proof(outcome, with_proof)
        except Exception:  # noqa: BLE001 - whatever it is, the request is not forwarded
            self._internal_error()

    def _decide_unverified(self, failure: VerificationFailure) -> None:
        if isinstance(failure.reason, IntrospectionFailure):
            self._decide(failure.reason, refusals.introspection_failed(failure.retry_after))
        else:
            self._decide(Unasked.TOO_MANY, refusals.too_many(failure.retry_after))

    @property
    def client_address(self) -> str:
        """The client's address, by which unseen tokens are counted."""
        return self._client.peer.client_address(self.request)

    def _conclude(self, entry: CacheEntry) -> None:
        route = self._route
        verdict = decide(route.requirement, entry.result, self._segments, time(), route.reports)
        if isinstance(verdict, Allow):
            if route.watched:
                self._tell(verdict.label, entry.result, None)
            self._forward(verdict, entry.identity)
        elif verdict is UNPROVEN:
            self._conclude_bound(entry, self._shown_certificate, route.refusals.bearer)
        else:
            self._deny(verdict, entry.result, None)

    def _conclude_with_proof(self, entry: CacheEntry, token: bytes) -> None:
        def shown(answer: ActiveToken) -> Proven | PossessionFault:
            request = self.request
            return request.snapshot.proofs.check(request, self._client.peer, token, answer, time())

        self._conclude_bound(entry, shown, self._route.refusals.dpop)

    def _shown_certificate(self, answer: ActiveToken) -> Proven | PossessionFault:
        return with_certificate(answer, self._client.peer.thumbprint(self.request))

    def _conclude_bound(
        self, entry: CacheEntry, show: Callable[[ActiveToken], Proven | PossessionFault], answers: Answers
    ) -> None:
        answer = entry.result
        unbound = isinstance(answer, ActiveToken) and not answer.bound
        shown: Proven | PossessionFault | None = PossessionFault.UNBOUND if unbound else None

        def noted(answer: ActiveToken) -> Proven | PossessionFault:
            nonlocal shown
            shown = show(answer)
            if isinstance(shown, PossessionFault):
                _log.debug("a bound token does not count: %s", shown)
            return shown

        route = self._route
        verdict = decide_bound(route.requirement, answer, noted, self._segments, time(), route.reports)
        self._settle(verdict, entry.identity, answer, answers, shown)

    def _decide(self, evidence: Evidence, refusal: Refusal | None) -> None:
        """Judge by why it is not known what the token is worth; `refusal` is the answer, the rule's own if None."""
        route = self._route
        verdict = decide(route.requirement, evidence, self._segments, 0.0, route.reports)
        if isinstance(verdict, Allow):
            if route.watched:
                self._tell(verdict.label, evidence, refusal)
            self._forward(verdict, b"")
        else:
            self._deny(verdict, evidence, refusal)

    def _settle(
        self,
        verdict: Allow | Deny,
        identity: bytes,
        evidence: Evidence,
        answers: Answers,
        shown: Proven | PossessionFault | None = None,
    ) -> None:
        """Do what was decided of a request with a bound token; it is refused in the words of `answers`."""
        if isinstance(verdict, Allow):
            if self._route.watched:
                self._tell(verdict.label, evidence, answers.get(Reason(verdict.label[1])), shown)
            self._forward(verdict, identity)
        else:
            self._deny(verdict, evidence, answers[verdict.reason], shown)

    def _deny(
        self, verdict: Deny, evidence: Evidence, refusal: Refusal | None, shown: Proven | PossessionFault | None = None
    ) -> None:
        self._route.metrics.decisions[verdict.label] += 1
        refusal = refusal or self._route.refusals.bearer[verdict.reason]
        request_id = self._request_id()
        self._keep(request_id, verdict.label, evidence, refusal, shown)
        self._refuse(refusal, request_id)

    def _tell(
        self, label: Label, evidence: Evidence, refusal: Refusal | None, shown: Proven | PossessionFault | None = None
    ) -> None:
        """Tell of a request that is forwarded; `refusal` is what its answer would be, the rule's own if None."""
        decision, reason = label
        if decision == WOULD_DENY and refusal is None:
            refusal = self._route.refusals.bearer[Reason(reason)]
        self._keep(self._sent_id(), label, evidence, refusal, shown)

    def _keep(
        self,
        request_id: bytes | None,
        label: Label,
        evidence: Evidence | None,
        refusal: Refusal | None,
        shown: Proven | PossessionFault | None = None,
    ) -> None:
        """Keep what was decided for those who ask later; without evidence the request was not read as far as that."""
        request = self.request
        keeping = request.snapshot.keeping
        if keeping is not None:
            requirement = self._route.requirement
            rule = None if requirement is None else requirement.rule
            path, segments = (
                (b"", ()) if evidence is None else recorded_path(request.target, self._segments, request.authorization)
            )
            method, now = request.method, time()
            decided = DecisionRecord(now, request_id, method, path, segments, rule, label, evidence, shown, refusal)
            self._client.gateway.decisions.add(decided, keeping)

    def _request_id(self) -> bytes:
        """Return the id to find this request's decision by: the client's if it may be recorded, else a new one."""
        return self._sent_id() or make_request_id()

    def _sent_id(self) -> bytes | None:
        request = self.request
        return sent_request_id(request.lines, request.target, request.authorization)

    def _internal_error(self) -> None:
        _log.exception("internal error")
        self._give_up(refusals.INTERNAL)
