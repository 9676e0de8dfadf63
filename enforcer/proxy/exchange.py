"""One request and its answer, from the client's head to the answer's last byte.

1. It is answered exactly once: forwarded with a permit, or refused.
2. An answer that has begun ends whole, or the client's connection is aborted: never cut short as if it were whole.
3. Who leaves is not waited for: a client gone ends the upstream's work, an upstream gone the client's wait.
4. What goes on for long is judged again by every newer snapshot; all else ends by the one that it began with.
"""

from __future__ import annotations

import logging
from time import perf_counter
from typing import TYPE_CHECKING, Final

from enforcer.errors import UpstreamError, UpstreamFailure
from enforcer.policy.decision import WOULD_DENY, Allow
from enforcer.proxy import refusals
from enforcer.proxy.forwarding import STATUS_LINES, Kind, request_head, trailers
from enforcer.proxy.judgement import Judgement
from enforcer.proxy.refusals import OwnAnswer, Refusal
from enforcer.proxy.request import RequestHead
from enforcer.proxy.standing import Standing
from enforcer.proxy.tunnel import Tunnel
from enforcer.tokens.introspection.response import NEVER
from enforcer.wire.connection import PooledConnection

if TYPE_CHECKING:
    from enforcer.proxy.connection import ClientConnection

_log = logging.getLogger("enforcer.proxy")

# RFC 9110 §9.2.2, less PUT and DELETE with a body, which was streamed and is gone
_REPEATABLE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
_EXPECT: Final = int(Kind.EXPECT)
_REJECTED: Final = ("error", "request_rejected")
_CLIENT_GONE: Final = 499  # as nginx counts a client that left before its answer


class Exchange(Judgement):
    """A `Receiver` of the upstream's answer."""

    __slots__ = (
        "_chunked_answer",
        "_full",
        "_head",
        "_note",
        "_out",
        "_pending",
        "_permit",
        "_retried",
        "_sent",
        "_status",
        "_upstream",
        "_waiting_for_pool",
        "close",
        "received",
    )

    def __init__(self, client: ClientConnection, request: RequestHead) -> None:
        super().__init__(client, request)
        self._upstream: PooledConnection | None = None
        self._status = 0
        self._full = False
        self._retried = False
        self._waiting_for_pool = False
        self._pending: list[bytes] | None = None
        self._note: bytes | None = None  # a field of the answer that is ours
        self._sent = 0.0
        self.received = not request.has_body
        self.close = not request.keep_alive

    def __repr__(self) -> str:
        return f"<exchange {self._status or 'unanswered'}>"

    def _forward(self, permit: Allow, identity: bytes) -> None:
        request = self.request
        route = self._route
        route.metrics.decisions[permit.label] += 1
        self._permit = permit
        if route.reports:
            identity = self._report(permit, identity)
        if not request.hosts:
            request.lines += (b"Host", b": ", route.upstream.authority, b"\r\n")
        self._head = request_head(
            permit, request.method, request.target, request.lines, request.chain, identity, request.framing
        )
        connection = route.upstream.pool.request(self)
        if isinstance(connection, PooledConnection):
            self.on_connection(connection)
        elif connection is None:
            self._waiting_for_pool = True
        else:
            self.on_failure(connection, False)

    def _report(self, permit: Allow, identity: bytes) -> bytes:
        """Note what the answer is to tell where the rule only reports; returns the identity that goes along."""
        decision, reason = permit.label
        field = self.request.snapshot.would_deny_field
        if field is not None and decision == WOULD_DENY:
            self._note = b"%b: %b\r\n" % (field, reason.encode())
        return b"" if permit.answer is None else identity

    def on_connection(self, connection: PooledConnection) -> None:
        self._waiting_for_pool = False
        self._upstream = connection
        request = self.request
        sent = self._sent = perf_counter()
        self._client.gateway.telemetry.overhead.observe(sent - self._started)
        connection.send(self, self._head, head_only=request.method == b"HEAD", upgradable=request.upgrade is not None)
        if request.has_body:
            if self._pending is not None:
                connection.transport.write(b"".join(self._pending))
                self._pending = None
            if not self.received and not self.awaits_asking:
                connection.await_client()
            self._client.regulate()

    # The request's body

    def on_request_body(self, data: bytes) -> None:
        """Take a piece of the request's body, framing removed."""
        request = self.request
        if self._over or request.refusal is not None:
            return
        if self.awaits_asking:
            self._on_asked()  # it did not wait
        request.body_left -= len(data)
        if request.body_left < 0:
            self.on_unreadable(refusals.TOO_LARGE)
            return
        self._send_on((b"%x\r\n%b\r\n" % (len(data), data)) if request.chunked else data)

    def on_request_end(self, lines: list[bytes]) -> None:
        """The request is whole; `lines` are its trailers."""
        self.received = True
        if self._over or not self.request.has_body:
            return
        if self.request.chunked:
            kept = trailers(lines, self.request.snapshot.forwarding.kinds)
            self._send_on(b"0\r\n%b\r\n" % b"".join(kept))
        if self._upstream is not None:
            self._upstream.expect_answer()

    def _send_on(self, data: bytes) -> None:
        if self._upstream is not None:
            self._upstream.transport.write(data)
        elif self._pending is None:
            self._pending = [data]
            self._client.regulate()
        else:
            self._pending.append(data)

    def on_unreadable(self, refusal: Refusal) -> None:
        """The head was good, and the body cannot stand."""
        if self._client.is_answering(self):
            self._give_up(refusal)
        else:
            self.request.refusal = refusal

    @property
    def awaits_asking(self) -> bool:
        """Whether the client waits to be asked for the body (RFC 9110 §10.1.1): it is not its time that runs."""
        request = self.request
        return request.rare is not None and _EXPECT in request.rare and not request.old

    def _on_asked(self) -> None:
        if self.request.rare is not None:
            self.request.rare.pop(_EXPECT, None)
        if self._upstream is not None:
            self._upstream.await_client()
        self._client.start_body_clock()

    @property
    def awaits_upgrade(self) -> bool:
        """Whether it is still open which protocol the next bytes are of."""
        return self.request.upgrade is not None and not self._over

    @property
    def blocked(self) -> bool:
        """Whether no more of the request's body can be taken for now."""
        return not self._over and (self._full or (self._pending is not None and self._upstream is None))

    def on_full(self) -> None:
        self._full = True
        if self._upstream is not None:
            self._upstream.expect_answer()
        self._client.regulate()

    def on_drained(self) -> None:
        self._full = False
        if self._upstream is not None and not self.received:
            self._upstream.await_client()
        self._client.regulate()

    # The answer

    def on_informational(self, status: int, reason: bytes, lines: list[bytes]) -> None:
        if status == 100 and self.request.has_body and self.awaits_asking:
            self._on_asked()
        # RFC 9110 §15.2: never to an HTTP/1.0 client
        if not self.request.old:
            self._client.transport.write(b"%b%b\r\n" % (STATUS_LINES[status, reason], b"".join(lines)))

    def on_head(self, status: int, reason: bytes, lines: list[bytes], sized: bool) -> None:
        self._status = status
        request = self.request
        out = self._out = [STATUS_LINES[status, reason], *lines]
        if self._note is not None:
            out.append(self._note)
        self._chunked_answer = False
        if not sized:
            if request.old:
                self.close = True
            else:
                self._chunked_answer = True
                out.append(b"Transfer-Encoding: chunked\r\n")
        if not self.received or (self._client.closing and not self._client.waits):
            # RFC 9112 §9.6: what is left of the request's body will not be read to make room for another
            self.close = True
            if not self.received and self._upstream is not None:
                self._upstream.use_no_more()
        if self.close:
            out.append(b"Connection: close\r\n\r\n")
        elif request.old:
            out.append(b"Connection: keep-alive\r\n\r\n")
        else:
            out.append(b"\r\n")

    def on_body(self, data: bytes) -> None:
        if self._chunked_answer:
            self._out += (b"%x\r\n" % len(data), data, b"\r\n")
        else:
            self._out.append(data)

    def on_flush(self) -> None:
        out = self._out
        if out:
            self._out = []
            self._client.transport.writelines(out)

    def on_complete(self, trailer_lines: list[bytes]) -> None:
        out = self._out
        if self._chunked_answer:
            out.append(b"0\r\n")
            if trailer_lines:
                out += trailers(trailer_lines, self.request.snapshot.forwarding.kinds)
            out.append(b"\r\n")
        self._upstream = None  # it may be another's already: a client that reads slowly must not pause it
        if out:
            self._client.transport.write(b"".join(out))
        ended = perf_counter()
        metrics = self._route.upstream.metrics
        metrics.answers[self._status] += 1
        metrics.duration.observe(ended - self._sent)
        self._finish(ended)

    def on_upgrade(self, reason: bytes, lines: list[bytes], connection: PooledConnection, rest: bytes) -> None:
        request = self.request
        if request.upgrade is None:
            raise RuntimeError("an upgrade that was not asked for")
        client = self._client
        self._status = 101
        switching = b"HTTP/1.1 101 %b\r\n%b%bConnection: Upgrade\r\nUpgrade: %b\r\n\r\n"
        client.transport.write(switching % (reason, b"".join(lines), self._note or b"", request.upgrade))
        self._upstream = None
        self._route.upstream.metrics.answers[101] += 1
        tunnel = Tunnel(client, connection, request.snapshot.timeouts.tunnel, self._ends(), self._standing())
        tunnel.start(client.take_over(), rest)
        if request.snapshot is not client.gateway.snapshot:
            tunnel.renew()
        self._finish(perf_counter())

    def on_failure(self, error: UpstreamError, unanswered: bool) -> None:
        self._upstream = None
        self._waiting_for_pool = False
        request = self.request
        if unanswered and not self._retried and not request.has_body and request.method in _REPEATABLE:
            self._retried = True
            failure = self._route.upstream.pool.request(self, fresh=True)
            if not isinstance(failure, UpstreamError):
                self._waiting_for_pool = True
                return
            error = failure
        self._route.upstream.metrics.errors[error.reason] += 1
        if error.reason is not UpstreamFailure.OVERLOADED:
            _log.warning("upstream %s: %s", self._route.upstream.pool.endpoint, error)
        if self._status:
            self._abort()
        else:
            self._refuse(refusals.UPSTREAM[error.reason], self._request_id())

    # Ends

    def _reject(self, refusal: Refusal) -> None:
        """Refuse a request that was not judged, and the connection that it came on."""
        self._route.metrics.decisions[_REJECTED] += 1
        self.close = True
        request_id = self._request_id()
        self._keep(request_id, _REJECTED, None, refusal)
        self._refuse(refusal, request_id)

    def _give_up(self, refusal: Refusal) -> None:
        """End it whatever its state: with a refusal where the answer has not begun."""
        self._leave_upstream()
        if self._status:
            self._abort()
        elif not self._over:
            self.close = True
            self._refuse(refusal, self._request_id())

    def _refuse(self, refusal: OwnAnswer, request_id: bytes = b"") -> None:
        self._status = refusal.status
        client = self._client
        if not self.received and self.request.has_body:
            self.close = True
        if client.closing and not client.waits:
            self.close = True
        date, request = client.gateway.date, self.request
        answer = refusal.render(
            date, close=self.close, head_only=request.method == b"HEAD", old=request.old, request_id=request_id
        )
        client.transport.write(answer)
        self._finish(perf_counter())

    def _finish(self, ended: float) -> None:
        self._over = True
        metrics = self._route.metrics
        metrics.requests[self.request.method, self._status] += 1
        metrics.duration.observe(ended - self._started)
        self._client.on_exchange_end(self)

    def _abort(self) -> None:
        # The answer is not whole, and only a broken connection says so.
        self._client.abort()
        self.on_client_gone()

    def _leave_upstream(self) -> None:
        if self._upstream is not None:
            self._upstream.abandon()
            self._upstream = None
        elif self._waiting_for_pool:
            self._waiting_for_pool = False
            self._route.upstream.pool.cancel(self)

    def on_client_gone(self) -> None:
        """The client's connection is no more: end the upstream's work."""
        if self._over:
            return
        self._over = True
        self._leave_upstream()
        self._route.metrics.requests[self.request.method, self._status or _CLIENT_GONE] += 1

    def on_client_full(self) -> None:
        """The client reads slower than the upstream writes."""
        if self._upstream is not None:
            self._upstream.pause()

    def on_client_drained(self) -> None:
        """The client has read."""
        if self._upstream is not None:
            self._upstream.resume()

    def on_stalled(self) -> None:
        """The client sent nothing of the body, or read nothing of the answer, for too long."""
        self._give_up(refusals.TIMEOUT)

    def end_if_token_ended(self, now: float) -> None:
        """Cut an answer that outlasts its token; one that has not begun may still come."""
        if self._status and self._ends() <= now:
            self._leave_upstream()
            self._abort()

    def renew(self) -> bool:
        """Have what streams judged again by the newest snapshot, and end it where that says no.

        Tells whether it need not be looked at again: what does not stream, is not over, and began before, may yet.
        """
        request = self.request
        snapshot = self._client.gateway.snapshot
        if self._over or request.snapshot is snapshot:
            return True
        if not self._client.is_answering(self) and request.snapshot.forwarding is snapshot.forwarding:
            # It waits its turn, and was read as it would be now: it is judged, when it comes, by what is then in force.
            request.snapshot = snapshot
            self._route = snapshot.no_route
            return True
        if not self._status and (self.received or self._upstream is None):
            return False
        refusal = self._standing().refused_by(snapshot)
        if refusal is None:
            request.snapshot = snapshot  # else it would keep a whole policy for as long as it goes on
        else:
            self._route.metrics.ended_by_reload += 1
            self._give_up(refusal)
        return True

    def _standing(self) -> Standing:
        request = self.request
        return Standing(request.method, request.target, request.host, self._route, self._permit)

    def _ends(self) -> float:
        """Return when its token ends, and it with that."""
        answer = self._permit.answer
        return answer.expires if answer is not None and self._route.ends_with_token else NEVER
