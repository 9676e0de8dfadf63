"""The gRPC call as an exchange: its message is read whole, decided like any request, and answered with a message.

An error of the call would open with Envoy's `failure_mode_allow`, so each answer is a CheckResponse if it can be one.
"""

from __future__ import annotations

from time import perf_counter
from typing import Final

from enforcer.counters import DoorMetrics
from enforcer.decision_api.answers import AllowedAnswer, field_pairs
from enforcer.decision_api.grpc.check import read_check, read_service, write_allowed, write_denied, write_health
from enforcer.decision_api.ignored_fields import IgnoredFields
from enforcer.errors import MalformedRequestError
from enforcer.policy.decision import WOULD_DENY, Allow
from enforcer.proxy.authorize import Authorization, Refused, Responded
from enforcer.proxy.exchange import Downstream, Exchange
from enforcer.proxy.messages import responses
from enforcer.proxy.messages.head import RequestHead
from enforcer.proxy.messages.response_writer import ResponseWriter
from enforcer.proxy.messages.responses import OwnResponse, Refusal
from enforcer.proxy.peer import Peer
from enforcer.proxy.registry import ConnectionRegistry
from enforcer.proxy.snapshot import Snapshot
from enforcer.proxy.states.exchange_state import ExchangeState

_QUEUED: Final = ExchangeState.QUEUED
_WAIT_VERIFICATION: Final = ExchangeState.WAIT_VERIFICATION
_DONE: Final = ExchangeState.DONE

_CHECK: Final = b"/envoy.service.auth.v3.Authorization/Check"
_HEALTH: Final = b"/grpc.health.v1.Health/Check"
_SERVICES: Final = (b"", b"envoy.service.auth.v3.Authorization")
_HEADER: Final = 5
"""Bytes before a message: whether it is compressed, and its size (gRPC over HTTP/2, Length-Prefixed-Message)."""

# google.rpc.Code
_OK: Final = 0
_INVALID_ARGUMENT: Final = 3
_NOT_FOUND: Final = 5
_RESOURCE_EXHAUSTED: Final = 8
_UNIMPLEMENTED: Final = 12


class GrpcExchange(Exchange):
    """One call of a caller, and its answer.

    It waits in QUEUED until its message is complete. `refusal` is the answer to a caller that may not ask.
    """

    __slots__ = ("_answer", "_carrier", "_ignored", "_largest", "_message", "_metrics")

    def __init__(
        self,
        client: Downstream,
        writer: ResponseWriter,
        registry: ConnectionRegistry,
        peer: Peer,
        carrier: RequestHead,
        snapshot: Snapshot,
        answer: AllowedAnswer,
        ignored: IgnoredFields,
        metrics: DoorMetrics,
        largest: int,
        refusal: Refusal | None,
    ) -> None:
        super().__init__(client, writer, registry, peer, carrier, snapshot)
        self._carrier = carrier
        self._answer = answer
        self._ignored = ignored
        self._metrics = metrics
        self._largest = largest
        self._message = bytearray()
        self._refusal = carrier.refusal or refusal

    def begin(self) -> None:
        """Refuse a call of another method; otherwise, wait for its message."""
        self._started_at = perf_counter()
        if self._carrier.refusal is not None:
            super().begin()
        elif self._carrier.method != b"POST" or self._carrier.target not in (_CHECK, _HEALTH):
            self._fail(_UNIMPLEMENTED, b"no such method")
        elif self.request_complete:
            self._fail(_INVALID_ARGUMENT, b"no message")

    def on_request_body(self, data: bytes) -> None:
        if self.state is not _QUEUED:
            return
        self._message += data
        if len(self._message) > self._largest + _HEADER:
            self._fail(_RESOURCE_EXHAUSTED, b"the message is too large")

    def on_request_end(self, trailers: list[bytes]) -> None:
        self.request_complete = True
        if self.state is not _QUEUED:
            return
        data = bytes(self._message)
        self._message = bytearray()
        if len(data) < _HEADER or data[0] or int.from_bytes(data[1:_HEADER], "big") != len(data) - _HEADER:
            self._fail(_UNIMPLEMENTED if data[:1] == b"\x01" else _INVALID_ARGUMENT, b"not one plain message")
            return
        try:
            if self._carrier.target == _HEALTH:
                self._answer_health(data[_HEADER:])
            else:
                self._check(data[_HEADER:])
        except Exception:  # noqa: BLE001 - whatever the fault is, the request is not allowed
            self._on_internal_error()

    def on_unreadable(self, refusal: Refusal) -> None:
        self._give_up(refusal)

    @property
    def memory(self) -> int:
        return self.head.memory + len(self._message)

    def _check(self, data: bytes) -> None:
        snapshot, peer, refusal = self._snapshot, self._peer, self._refusal
        self.state = _WAIT_VERIFICATION
        if refusal is None:
            try:
                self.head = read_check(data, snapshot.forwarding, snapshot.limits)
                self._ignored.count(self.head)
                refusal = self.head.refusal
            except MalformedRequestError as error:
                refusal = responses.malformed(str(error), error.status)
        self._authorization = authorization = Authorization(self.head, snapshot, peer, self._registry.decisions)
        self.client = authorization.sender[1]
        outcome = authorization.authorize(self) if refusal is None else authorization.reject(refusal)
        if outcome is not None:
            self._proceed(outcome)

    def _answer_health(self, data: bytes) -> None:
        try:
            service = read_service(data)
        except MalformedRequestError:
            self._fail(_INVALID_ARGUMENT, b"not a HealthCheckRequest")
            return
        if service in _SERVICES:
            self._send(write_health(serving=not self._registry.draining), 200)
        else:
            self._fail(_NOT_FOUND, b"no such service")

    def _proceed(self, permit: Allow | Refused | Responded) -> None:
        if isinstance(permit, Allow):
            self._metrics.results[permit.label[0]] += 1
            self._registry.overhead.observe(perf_counter() - self._started_at)
            identity = field_pairs(self._authorization.identity)
            noted: list[tuple[bytes, bytes]] = []
            if permit.label[0] == WOULD_DENY and self._snapshot.would_deny_field is not None:
                noted.append((self._snapshot.would_deny_field, permit.label[1].encode()))
            self._send(write_allowed(identity, self._answer.removed(identity, self.head), noted), 200)
        elif isinstance(permit, Responded):
            self._metrics.results["deny"] += 1
            self._respond(permit.response)
        else:
            self._metrics.results["error" if permit.refusal.status >= 500 else "deny"] += 1
            self._respond(permit.refusal, permit.request_id)

    def _respond(self, response: OwnResponse, request_id: bytes = b"") -> None:
        if self._carrier.refusal is None:
            self._send(write_denied(response, request_id), response.status)
        else:
            super()._respond(response, request_id)

    def _send(self, message: bytes, status: int) -> None:
        """Answer with a message; `status` is that of the decision."""
        self._write(_OK, b"", message, status)

    def _fail(self, code: int, why: bytes) -> None:
        self._metrics.results["error"] += 1
        self._write(code, why, b"", 400)

    def _write(self, code: int, why: bytes, message: bytes, status: int) -> None:
        self._status = status
        writer = self._writer
        content = [b"content-type", b": ", b"application/grpc", b"\r\n"]
        writer.begin(200, b"OK", content, sized=False, closes=self.closes, http10=False)
        if code == _OK:
            writer.add(b"\0" + len(message).to_bytes(4, "big") + message)
        trailers = [b"grpc-status", b": ", b"%d" % code, b"\r\n"]
        if why:
            trailers += (b"grpc-message", b": ", why, b"\r\n")
        writer.end(trailers)
        self._body_sent = len(message)
        self._finish(perf_counter())

    def _send_on(self, data: bytes) -> None:
        """Nothing is forwarded."""
