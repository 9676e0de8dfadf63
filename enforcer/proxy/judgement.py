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

from enforcer.errors import IntrospectionError, MalformedRequestError
from enforcer.policy.decision import UNPROVEN, Allow, Deny, Evidence, Unasked, decide, decide_bound
from enforcer.policy.matcher import choose
from enforcer.proxy import refusals
from enforcer.proxy.proofs import ProofWaiter
from enforcer.proxy.refusals import Answers, Refusal
from enforcer.proxy.request import RequestHead
from enforcer.proxy.snapshot import Route
from enforcer.tokens import bearer
from enforcer.tokens.answer import Active
from enforcer.tokens.bearer import DPoPToken, NoToken
from enforcer.tokens.cache import Entry
from enforcer.tokens.possession import Fault, Proven, with_certificate

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
    def _refuse(self, refusal: Refusal) -> None:
        """Answer the request."""

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
            route = snapshot.no_route
        self._route = route
        evidence = _MISSING
        if route.asks:
            token = bearer.parse(request.authorization, request.authorizations, target.query)
            if isinstance(token, bytes):
                if len(token) > snapshot.limits.token:
                    self._reject(refusals.TOKEN_TOO_LARGE)
                    return
                entry = route.verifier.verify(token, time(), self, route.demand)
                if entry is not None:
                    self._conclude(entry)
                return
            if isinstance(token, DPoPToken):
                self._judge_with_proof(token.token)
                return
            evidence = token
        self._decide(evidence, None)

    def _judge_with_proof(self, token: bytes | NoToken) -> None:
        """Judge a request whose token came with the DPoP scheme."""
        route = self._route
        if isinstance(token, NoToken):
            verdict = decide(route.requirement, token, self._segments, 0.0, route.reports)
            self._settle(verdict, b"", route.refusals.dpop)
        elif len(token) > self.request.snapshot.limits.token:
            self._reject(refusals.TOKEN_TOO_LARGE)
        else:
            entry = route.verifier.verify(token, time(), ProofWaiter(self, token), route.demand)
            if entry is not None:
                self._conclude_with_proof(entry, token)

    def on_answer(self, entry: Entry[bytes], with_proof: bytes | None = None) -> None:
        """Take what the token is worth; `with_proof` is the token where it came with the DPoP scheme."""
        if self._over:
            return
        try:
            if with_proof is None:
                self._conclude(entry)
            else:
                self._conclude_with_proof(entry, with_proof)
        except Exception:  # noqa: BLE001 - whatever it is, the request is not forwarded
            self._internal_error()

    def on_no_answer(self, error: IntrospectionError, retry_after: int) -> None:
        if self._over:
            return
        try:
            self._decide(error.reason, refusals.introspection_failed(retry_after))
        except Exception:  # noqa: BLE001 - whatever it is, the request is not forwarded
            self._internal_error()

    def on_too_many(self, retry_after: int) -> None:
        self._decide(Unasked.TOO_MANY, refusals.too_many(retry_after))

    @property
    def address(self) -> str:
        """The client's address, for which unseen tokens are counted."""
        return self._client.peer.client_address(self.request)

    def _conclude(self, entry: Entry[bytes]) -> None:
        route = self._route
        verdict = decide(route.requirement, entry.answer, self._segments, time(), route.reports)
        if isinstance(verdict, Allow):
            self._forward(verdict, entry.prepared)
        elif verdict is UNPROVEN:
            self._conclude_bound(entry, self._shown_certificate, route.refusals.bearer)
        else:
            self._deny(verdict, None)

    def _conclude_with_proof(self, entry: Entry[bytes], token: bytes) -> None:
        def shown(answer: Active) -> Proven | Fault:
            request = self.request
            return request.snapshot.proofs.check(request, self._client.peer.url(request), token, answer, time())

        self._conclude_bound(entry, shown, self._route.refusals.dpop)

    def _shown_certificate(self, answer: Active) -> Proven | Fault:
        return with_certificate(answer, self._client.peer.thumbprint(self.request))

    def _conclude_bound(self, entry: Entry[bytes], show: Callable[[Active], Proven | Fault], answers: Answers) -> None:
        def noted(answer: Active) -> Proven | Fault:
            shown = show(answer)
            if isinstance(shown, Fault):
                _log.debug("a bound token does not count: %s", shown)
            return shown

        route = self._route
        verdict = decide_bound(route.requirement, entry.answer, noted, self._segments, time(), route.reports)
        self._settle(verdict, entry.prepared, answers)

    def _decide(self, evidence: Evidence, refusal: Refusal | None) -> None:
        """Judge by why it is not known what the token is worth; `refusal` is the answer, the rule's own if None."""
        route = self._route
        verdict = decide(route.requirement, evidence, self._segments, 0.0, route.reports)
        if isinstance(verdict, Allow):
            self._forward(verdict, b"")
        else:
            self._deny(verdict, refusal)

    def _settle(self, verdict: Allow | Deny, identity: bytes, answers: Answers) -> None:
        """Do what was decided of a request with a bound token; it is refused in the words of `answers`."""
        if isinstance(verdict, Allow):
            self._forward(verdict, identity)
        else:
            self._deny(verdict, answers[verdict.reason])

    def _deny(self, verdict: Deny, refusal: Refusal | None) -> None:
        self._route.metrics.decisions[verdict.label] += 1
        self._refuse(refusal or self._route.refusals.bearer[verdict.reason])

    def _internal_error(self) -> None:
        _log.exception("internal error")
        self._give_up(refusals.INTERNAL)
