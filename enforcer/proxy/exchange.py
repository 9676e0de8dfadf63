"""The exchange: one request and its response, from the request head to the last byte of the response.

1. Every request gets exactly one response: the upstream's, with a permit, or one of our own.
2. A response that has begun ends whole, or the client connection is aborted: it is never cut short as if it were whole.
3. Nobody waits for a side that has left: a client that is gone ends the upstream's work, an upstream that is gone the
   client's wait.
4. A long exchange is authorized again by every newer snapshot; everything else ends by the one it began with.

`proxy.states.exchange_state` names its states, and the events that lead from one to another.
"""

from __future__ import annotations

import logging
from time import perf_counter, time
from typing import Final, Protocol

from enforcer.decision_log.record import CLIENT_GONE
from enforcer.errors import UpstreamError, UpstreamFailure
from enforcer.policy.decision import WOULD_DENY, Allow
from enforcer.proxy.authorize import Authorization, Refused, Responded
from enforcer.proxy.grant import Grant
from enforcer.proxy.messages import responses
from enforcer.proxy.messages.forwarding import NOT_READ, permitted_trailers, request_head
from enforcer.proxy.messages.head import IDEMPOTENT, RequestHead, extend_held
from enforcer.proxy.messages.response_writer import ResponseWriter
from enforcer.proxy.messages.responses import OwnResponse, Refusal
from enforcer.proxy.peer import Peer
from enforcer.proxy.registry import ConnectionRegistry
from enforcer.proxy.snapshot import Snapshot
from enforcer.proxy.states.exchange_state import ExchangeState
from enforcer.tokens.purge import Purge
from enforcer.tokens.verifier import VerificationOutcome
from enforcer.wire.carrier import Carrier, Receiver, UpgradedConnection
from enforcer.wire.fields import is_event_stream

_log: Final = logging.getLogger("enforcer.proxy")

_clock: Final = perf_counter  # a Final is a variable in C, and an imported name an entry of a dict

_QUEUED: Final = ExchangeState.QUEUED
_WAIT_VERIFICATION: Final = ExchangeState.WAIT_VERIFICATION
_WAIT_CONNECTION: Final = ExchangeState.WAIT_CONNECTION
_SENDING: Final = ExchangeState.SENDING
_RESPONDING: Final = ExchangeState.RESPONDING
_DONE: Final = ExchangeState.DONE
_OTHER_LENGTH: Final = responses.malformed("Content-Length: not the length of the body")


class Downstream(Protocol):
    """The members of a client connection that an exchange uses."""

    closing: bool  # the connection ends after the requests that have arrived

    @property
    def has_queued(self) -> bool:
        """Whether another request waits for this exchange to end."""

    def on_exchange_end(self, exchange: Exchange) -> None:
        """Begin the next exchange, or close if `exchange.closes`."""

    def update_flow_control(self) -> None:
        """Pause or resume reading: `exchange.blocked` may have changed."""

    def start_body_deadline(self) -> None:
        """Expect the request's body from now on."""

    def become_tunnel(self, upstream: UpgradedConnection, first: bytes, grant: Grant, snapshot: Snapshot) -> None:
        """Copy bytes both ways from now on; `first` came from the upstream, `snapshot` is the request's."""

    def abort(self) -> None:
        """End the response so that nothing looks like its end: reset the connection or the stream."""


class Exchange(Receiver):
    """One request and its response: the receiver of its upstream response, and the `VerificationListener` of its token.

    `closes`: the connection ends after the response. `request_complete`: all of the request has arrived.
    `client` is the key of the client (see `clients.client_key`), also through a trusted proxy.
    `expects_continue`: the client waits to be asked for the body (RFC 9110 §10.1.1), so its deadline does not run.
    """

    __slots__ = (
        "_authorization", "_body_left", "_body_sent", "_client", "_note", "_peer", "_pending", "_permit", "_refusal",
        "_registry", "_request", "_resend", "_retried", "_sent_at", "_snapshot", "_started_at", "_status", "_trailers",
        "_upstream", "_upstream_full", "_writer", "closes", "expects_continue", "head", "request_complete",
        "state",
    )  # fmt: skip

    def __init__(
        self,
        client: Downstream,
        writer: ResponseWriter,
        registry: ConnectionRegistry,
        peer: Peer,
        head: RequestHead,
        snapshot: Snapshot,
    ) -> None:
        self._client = client
        self._writer = writer
        self._registry = registry
        self._peer = peer
        self._snapshot = snapshot
        self._authorization = Authorization(head, snapshot, peer, registry.decisions)
        self._refusal = head.refusal
        self._upstream: Carrier | None = None
        self._upstream_full = False
        self._pending: list[bytes] | None = None  # the beginning of the body, until there is a connection
        self._body_left = snapshot.limits.body if head.chunked else head.length
        self._note: list[bytes] = []  # a field line that we add to the response, in pieces
        self._retried = False
        self._status = 0
        self._body_sent = 0  # bytes of the response body, for the log
        self.client = self._authorization.sender[1]
        self.head = head
        self.state = _QUEUED
        self.request_complete = not head.has_body
        self.expects_continue = head.expects_continue
        self.closes = not head.keep_alive

    def begin(self) -> None:
        """Authorize the request, and forward or refuse it, now or when its token has been verified."""
        self._started_at = _clock()
        self.state = _WAIT_VERIFICATION
        try:
            authorization, refusal = self._authorization, self._refusal
            outcome = authorization.authorize(self) if refusal is None else authorization.reject(refusal)
            if outcome is not None:
                self._proceed(outcome)
        except Exception:  # noqa: BLE001 - whatever the fault is, the request is not forwarded
            self._on_internal_error()

    def on_verification(self, outcome: VerificationOutcome) -> None:
        """Go on with the verification result."""
        if self.state is _DONE:
            return
        try:
            self._proceed(self._authorization.conclude(outcome, time()))
        except Exception:  # noqa: BLE001 - whatever the fault is, the request is not forwarded
            self._on_internal_error()

    def _on_internal_error(self) -> None:
        _log.exception("internal error")
        self._give_up(responses.INTERNAL)

    def _proceed(self, permit: Allow | Refused | Responded) -> None:
        """Forward the request, or refuse it."""
        if not isinstance(permit, Allow):
            if isinstance(permit, Responded):
                self._respond(permit.response)
            else:
                self.closes = self.closes or permit.closes
                self._respond(permit.refusal, permit.request_id)
            return
        head, authorization = self.head, self._authorization
        if head.last_hop:
            self._respond(responses.at_last_hop(head.method, authorization.target, head.lines, http10=head.http10))
            return
        self._permit = permit
        route = authorization.route
        if route.report_only and permit.label[0] == WOULD_DENY and self._snapshot.would_deny_field is not None:
            self._note = [self._snapshot.would_deny_field, b": ", permit.label[1].encode(), b"\r\n"]
        lines = authorization.lines
        if not head.host:
            lines = [*lines, b"Host", b": ", route.upstream.authority, b"\r\n"]
        target, forwarded = authorization.target, self._peer.forwarding_fields(head, self._snapshot.forwarding)
        self._request = request_head(
            permit, head.method, target, lines, forwarded, authorization.identity, head.framing
        )
        self.state = _WAIT_CONNECTION
        carrier = route.upstream.pool.request(self)
        if isinstance(carrier, Carrier):
            self.on_connection(carrier)
        elif carrier is not None:
            self.on_failure(carrier, False)

    def on_connection(self, carrier: Carrier) -> None:
        self.state = _SENDING
        self._upstream = carrier
        head = self.head
        self._sent_at = _clock()
        self._registry.overhead.observe(self._sent_at - self._started_at)
        carrier.send(
            self,
            self._request,
            head_only=head.method == b"HEAD",
            upgradable=head.upgrade is not None,
            has_body=head.has_body,
            chunked=head.chunked,
        )
        if head.has_body:
            repeatable = head.method in IDEMPOTENT or carrier.refusable
            self._resend: bytearray | None = bytearray() if repeatable else None
            if self._pending is not None:
                self._send_on(b"".join(self._pending))
                self._pending = None
            if self.request_complete:
                self._end_body(carrier)
            elif not self.expects_continue:
                carrier.await_client()
            self._client.update_flow_control()

    def on_request_body(self, data: bytes) -> None:
        """Take a piece of the request's body, framing removed."""
        if self.state is _DONE or self._refusal is not None:
            return
        if self.expects_continue:
            self._on_continue()  # the client did not wait
        self._body_left -= len(data)
        if self._body_left < 0:
            self.on_unreadable(responses.TOO_LARGE if self.head.chunked else _OTHER_LENGTH)
            return
        self._send_on(data)

    def on_request_end(self, trailers: list[bytes]) -> None:
        """Take the end of the request; `trailers` are field lines in pieces."""
        head = self.head
        if self._body_left and not head.chunked and self.state is not _DONE and self._refusal is None:
            # The upstream would take the next request on its connection for the rest of the body.
            self.on_unreadable(_OTHER_LENGTH)
            return
        self.request_complete = True
        if self.state is _DONE or not head.has_body:
            return
        self._trailers = trailers
        if self._upstream is not None:
            self._end_body(self._upstream)

    def _end_body(self, carrier: Carrier) -> None:
        trailers = self._trailers
        if trailers:
            read = self._authorization.route.read_fields
            trailers = permitted_trailers(trailers, self._snapshot.forwarding.kinds, read)
        carrier.end_body(trailers)

    def _send_on(self, data: bytes) -> None:
        if self._upstream is not None:
            self._resend = extend_held(self._resend, data)
            self._upstream.send_body(data)
        elif self._pending is None:
            self._pending = [data]
            self._client.update_flow_control()
        else:
            self._pending.append(data)

    def on_unreadable(self, refusal: Refusal) -> None:
        """Refuse the request although its head was valid, because its body is not."""
        if self.state is _QUEUED:
            self._refusal = refusal
        else:
            self._give_up(refusal)

    def cut_input(self) -> None:
        """Make this the last exchange, and note that there are more bytes behind its request."""
        self.closes = True
        self.request_complete = False

    def _on_continue(self) -> None:
        self.expects_continue = False
        if self._upstream is not None:
            self._upstream.await_client()
        self._client.start_body_deadline()

    @property
    def memory(self) -> int:
        """Bytes that it takes, without those that the client has not read yet."""
        pending = 0 if self._pending is None else sum(map(len, self._pending))
        return self.head.memory + pending + (0 if self._upstream is None else self._upstream.memory)

    @property
    def awaits_upgrade(self) -> bool:
        """Whether it is not decided yet which protocol the client's next bytes belong to."""
        return self.head.upgrade is not None and self.state is not _DONE

    @property
    def blocked(self) -> bool:
        """Whether no more of the request's body can be taken for now."""
        if self.state is _DONE:
            return False
        return self._upstream_full or (self._pending is not None and self._upstream is None)

    def on_full(self) -> None:
        self._upstream_full = True
        if self._upstream is not None:
            self._upstream.expect_answer()
        self._client.update_flow_control()

    def on_drained(self) -> None:
        self._upstream_full = False
        if self._upstream is not None and not self.request_complete:
            self._upstream.await_client()
        self._client.update_flow_control()

    # The response

    def on_informational(self, status: int, reason: bytes, lines: list[bytes]) -> None:
        if status == 100 and self.head.has_body and self.expects_continue:
            self._on_continue()
        # RFC 9110 §15.2: never to an HTTP/1.0 client
        if not self.head.http10:
            self._writer.write_informational(status, reason, lines)

    def on_head(self, status: int, reason: bytes, lines: list[bytes], sized: bool) -> None:
        if not sized and is_event_stream(lines) and not self._begin_stream(self._upstream):
            return
        if self.head.upgrade is not None and not self._writer.accepts(status, lines):
            self._drop(self._upstream, UpstreamFailure.MALFORMED, "it is a success, and does not switch protocols")
            return
        self.state = _RESPONDING
        self._status = status
        client, http10 = self._client, self.head.http10
        if not self.request_complete or (client.closing and not client.has_queued):
            # RFC 9112 §9.6: the rest of the request's body will not be read to make room for another request
            self.closes = True
            if not self.request_complete and self._upstream is not None:
                self._upstream.use_no_more()
        elif http10 and not sized:
            self.closes = True  # only the end of the connection is the end of such a response
        if self._note:
            lines = lines + self._note
        self._writer.begin(status, reason, lines, sized=sized, closes=self.closes, http10=http10)

    def _begin_stream(self, upstream: Carrier | None) -> bool:
        """Make the exchange a stream, or refuse it if the upstream has as many as it may have."""
        if upstream is None or upstream.begin_stream():
            return True
        self._drop(upstream, UpstreamFailure.STREAMS, "there is no room for another one (streams.connections)")
        return False

    def _drop(self, upstream: Carrier | UpgradedConnection | None, reason: UpstreamFailure, detail: str) -> None:
        """Give up on a response that cannot be forwarded."""
        if upstream is not None:
            upstream.abandon()
        self.on_failure(UpstreamError(reason, detail), False)

    def on_body(self, data: bytes) -> None:
        if self._authorization.unlogged is not None:
            self._body_sent += len(data)
        self._writer.add(data)

    def on_flush(self) -> None:
        self._writer.flush()

    def on_complete(self, trailers: list[bytes]) -> None:
        self._upstream = None  # it may serve another exchange by now, which this client must not pause
        if trailers:
            trailers = permitted_trailers(trailers, self._snapshot.forwarding.kinds, NOT_READ)
        self._writer.end(trailers)
        ended_at = _clock()
        metrics = self._authorization.route.upstream.metrics
        metrics.responses[self._status].value += 1
        metrics.duration.observe(ended_at - self._sent_at)
        if metrics.failing:
            self._authorization.route.upstream.report_recovery()
        self._finish(ended_at)

    def on_upgrade(self, reason: bytes, lines: list[bytes], connection: UpgradedConnection, rest: bytes) -> None:
        protocol = self.head.upgrade
        if protocol is None:
            raise RuntimeError("an upgrade that was not asked for")
        if not self.request_complete:
            self._drop(connection, UpstreamFailure.MALFORMED, "it is 101 before the request's end")
            return
        if not self._writer.accepts(101, lines):
            self._drop(connection, UpstreamFailure.MALFORMED, "its Sec-WebSocket-Accept is not that of the request")
            return
        if not self._begin_stream(self._upstream):
            return
        self._status = 101
        self._writer.write_upgrade(reason, self._authorization.response_fields(lines) + self._note, protocol)
        self._upstream = None
        self._authorization.route.upstream.metrics.responses[101].value += 1
        self._client.become_tunnel(connection, rest, self._authorization.grant(self._permit), self._snapshot)
        self._finish(_clock())

    def on_failure(self, error: UpstreamError, unanswered: bool) -> None:
        self._upstream = None
        head, upstream = self.head, self._authorization.route.upstream
        repeatable = head.method in IDEMPOTENT if unanswered else not error.processed
        body = self._resend if repeatable and head.has_body else b""  # None: too large to hold, and gone
        if repeatable and not self._retried and body is not None:
            self._retried = True
            self.state = _WAIT_CONNECTION
            self._pending = [bytes(body)] if body else None
            self._client.update_flow_control()
            failure = upstream.pool.request(self, fresh=True)
            if not isinstance(failure, UpstreamError):
                return
            error = failure
        upstream.report_failure(error)
        if self.state is _RESPONDING and not self._writer.withdraw():
            self._abort()
        else:
            self._respond(responses.UPSTREAM[error.reason], self._authorization.request_id())

    # Ends

    def _give_up(self, refusal: Refusal) -> None:
        """End the exchange whatever its state, DONE too: with a refusal if the response has not begun."""
        self._leave_upstream()
        if self._status:
            self._abort()
        elif self.state is not _DONE:
            self.closes = True
            self._respond(refusal, self._authorization.request_id())

    def _respond(self, response: OwnResponse, request_id: bytes = b"") -> None:
        """Write a response of our own."""
        client, head, cors = self._client, self.head, self._snapshot.cors
        self._status = response.status
        if isinstance(response, Refusal) and head.has_body and head.method == b"POST":
            response = response.for_request(head.lines)
        if cors is not None:
            response = cors.readable(response, head)
        if (not self.request_complete and head.has_body) or (client.closing and not client.has_queued):
            self.closes = True
        date, head_only = self._registry.date, head.method == b"HEAD"
        self._writer.write_own(
            response, date, closes=self.closes, head_only=head_only, http10=head.http10, request_id=request_id
        )
        self._body_sent = 0 if head_only else response.length
        self._finish(_clock())

    def _finish(self, ended_at: float) -> None:
        self.state = _DONE
        metrics = self._authorization.route.metrics
        metrics.requests[self.head.method, self._status].value += 1
        metrics.duration.observe(ended_at - self._started_at)
        if self._authorization.unlogged is not None:
            self._authorization.log(self._status, ended_at - self._started_at, self._body_sent)
        self._client.on_exchange_end(self)

    def _abort(self) -> None:
        # The response is not whole, and only a broken connection says so.
        self._client.abort()
        self.on_client_gone()

    def _leave_upstream(self) -> None:
        if self._upstream is not None:
            self._upstream.abandon()
            self._upstream = None
        elif self.state is _WAIT_CONNECTION:
            self._authorization.route.upstream.pool.cancel(self)

    def on_client_gone(self) -> None:
        """End the upstream's work: the client connection has ended."""
        if self.state is _DONE:
            return
        self._leave_upstream()
        self.state = _DONE
        status = self._status or CLIENT_GONE
        self._authorization.route.metrics.requests[self.head.method, status].value += 1
        self._authorization.log(status, _clock() - self._started_at, self._body_sent)

    def on_client_full(self) -> None:
        """Pause the upstream: the client reads too slowly."""
        if self._upstream is not None:
            self._upstream.pause()

    def on_client_drained(self) -> None:
        """Resume the upstream: the client has read."""
        if self._upstream is not None:
            self._upstream.resume()

    def on_client_stalled(self) -> None:
        """Give up: the client sent nothing of the body, or read nothing of the response, for too long."""
        self._give_up(responses.TIMEOUT)

    def end_if_not_valid(self, now: float) -> None:
        """Cut a response that outlasts its token or a purge of it; one that has not begun may still come."""
        if self.state is _RESPONDING and self._authorization.grant(self._permit).has_ended(now, self._snapshot):
            self._abort()

    def revoke(self, purge: Purge) -> None:
        """Note a purge: if it covers the token, the exchange must not become a stream."""
        self._authorization.purges += (purge,)

    def renew(self) -> bool:
        """Authorize a stream again by the newest snapshot, and end it if that denies it.

        Returns whether the exchange need not be asked again. An exchange that does not stream yet may do so later.
        """
        snapshot = self._registry.snapshot
        if self.state is _DONE or self._snapshot is snapshot:
            return True
        if self.state is _QUEUED:
            if self._snapshot.forwarding is not snapshot.forwarding:
                self._refusal = self._refusal or responses.OUTDATED  # its head was read by other settings
            self._snapshot = self._authorization.snapshot = snapshot
            self._authorization.route = snapshot.no_route  # it is authorized when its turn comes
            return True
        if self.state is not _RESPONDING and (self.request_complete or self._upstream is None):
            return False
        refusal = self._authorization.grant(self._permit).reauthorize(snapshot)
        if refusal is None:
            self._snapshot = self._authorization.snapshot = snapshot  # so that the older policy can be freed
        else:
            self._authorization.route.metrics.ended_by_reload += 1
            self._give_up(refusal)
        return True
