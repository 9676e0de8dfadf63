"""The exchange of the decision API: a request is authorized as by the proxy, and answered instead of forwarded."""

from __future__ import annotations

from time import perf_counter
from typing import Final

from enforcer.counters import DoorMetrics
from enforcer.decision_api.answers import AllowedAnswer
from enforcer.policy.decision import Allow
from enforcer.proxy.authorize import Refused, Responded
from enforcer.proxy.exchange import Downstream, Exchange
from enforcer.proxy.messages.head import RequestHead
from enforcer.proxy.messages.response_writer import ResponseWriter
from enforcer.proxy.messages.responses import OwnResponse, Refusal
from enforcer.proxy.peer import Peer
from enforcer.proxy.registry import ConnectionRegistry
from enforcer.proxy.snapshot import Snapshot

_NOT_HERE: Final = Refusal(404, "the decision API cannot respond to clients; the caller must serve this resource")


class DecisionExchange(Exchange):
    """One request of a caller, and its answer.

    `carrier` is the caller's own request; `head`, the client's request, is what it asks about. A body is read and
    dropped. A refusal does not end the caller's connection, except if the carrier itself could not be read: it has the
    requests of other clients, too.
    """

    __slots__ = ("_answer", "_carrier", "_metrics")

    def __init__(
        self,
        client: Downstream,
        writer: ResponseWriter,
        registry: ConnectionRegistry,
        peer: Peer,
        carrier: RequestHead,
        head: RequestHead,
        snapshot: Snapshot,
        answer: AllowedAnswer,
        metrics: DoorMetrics,
    ) -> None:
        super().__init__(client, writer, registry, peer, head, snapshot)
        self._carrier = carrier
        self._answer = answer
        self._metrics = metrics

    def _proceed(self, permit: Allow | Refused | Responded) -> None:
        if isinstance(permit, Allow):
            self._metrics.results[permit.label[0]] += 1
            self._registry.overhead.observe(perf_counter() - self._started_at)
            self._note_end_of_connection()
            lines = self._answer.lines(self._authorization.identity, self._carrier)
            self._status = 200
            http10 = self._carrier.http10
            self._writer.begin(200, b"OK", lines, sized=True, closes=self.closes, http10=http10)
            self._writer.end([])
            self._finish(perf_counter())
        elif isinstance(permit, Responded):
            self._metrics.results["deny"] += 1
            self._respond(_NOT_HERE)
        else:
            self.closes = self.closes or self._carrier.refusal is not None
            self._metrics.results["error" if permit.refusal.status >= 500 else "deny"] += 1
            self._respond(permit.refusal, permit.request_id)

    def _respond(self, response: OwnResponse, request_id: bytes = b"") -> None:
        self._note_end_of_connection()
        cors = self._snapshot.cors
        if cors is not None:
            response = cors.readable(response, self.head)
        self._status = response.status
        carrier, head_only = self._carrier, self._carrier.method == b"HEAD"
        date, http10 = self._registry.date, carrier.http10
        self._writer.write_own(
            response, date, closes=self.closes, head_only=head_only, http10=http10, request_id=request_id
        )
        self._body_sent = 0 if head_only else response.length
        self._finish(perf_counter())

    def _note_end_of_connection(self) -> None:
        client = self._client
        if (not self.request_complete and self.head.has_body) or (client.closing and not client.has_queued):
            self.closes = True

    def _send_on(self, data: bytes) -> None:
        """Drop a piece of the body."""
