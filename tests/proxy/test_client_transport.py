"""Pausing and ending a client connection, and the minimum rate of a body."""

from __future__ import annotations

import socket

import pytest
from harness.clients import Client
from harness.configs import config
from harness.in_process import in_process_proxy
from harness.playbook import Pipe
from harness.upstreams import upstream

from enforcer.proxy.client_transport import NEVER, BodyDeadline, ClientTransport
from enforcer.settings.limits import Limits, Timeouts

REQUEST = b"GET /thing HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_a_request_that_has_arrived_and_was_not_read_yet_is_answered() -> None:
    """Its connection is idle only to who does not look; another one is closed, and one that sends no request later."""
    rules = [{"name": "all", "path": "/**", "public": True}]
    with upstream() as app:
        text = config(app.url, 1, rules=rules, timeouts={"head": "300ms"})
        with (
            in_process_proxy(text) as running,
            Client(running.port) as asks,
            Client(running.port) as idle,
            Client(running.port) as blank,
        ):
            clients = (asks, idle, blank)
            assert [client.request("GET", "/thing").status for client in clients] == [200] * 3

            def send() -> None:
                asks.socket.sendall(REQUEST)
                blank.socket.sendall(b"\r\n")

            running.shutdown(send)
            answer = asks.socket.recv(1000)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b"Connection: close\r\n" in answer
            assert [client.closed() for client in clients] == [True] * 3


def test_a_close_delivers_what_was_written_and_waits_for_a_reader_no_longer_than_its_deadline() -> None:
    """A client that reads something has until the next deadline; one that reads nothing is reset."""
    pipe = Pipe()
    client = ClientTransport(pipe)
    pipe.buffered = 100
    client.close(10.0)
    assert pipe.closed
    assert not client.check_reader(9.9, 20.0)
    pipe.buffered = 50
    assert client.check_reader(10.0, 20.0)
    assert not pipe.aborted
    assert not client.check_reader(19.9, 30.0)
    assert client.check_reader(20.0, 30.0)
    assert pipe.aborted


def test_a_client_that_reads_again_has_no_deadline() -> None:
    """It was only slow."""
    client = ClientTransport(Pipe())
    client.on_full(10.0)
    full = [client.full]
    client.on_drained()
    assert [*full, client.full] == [True, False]
    assert not client.check_reader(1e9, 1e9)


def test_lingering_closes_our_side_and_reads_on() -> None:
    """RFC 9112 §9.6; a transport that cannot do that is closed at once."""
    pipe = Pipe()
    client = ClientTransport(pipe)
    assert client.linger(2.0, 10.0) == 2.0
    assert (pipe.half_closed, pipe.closed, client.lingering) == (True, False, True)
    other = Pipe(can_write_eof=False)
    client = ClientTransport(other)
    assert client.linger(2.0, 10.0) == NEVER
    assert (other.closed, client.lingering) == (True, False)


def test_an_abort_is_a_reset() -> None:
    """The system sends RST, not FIN: a response cut short must not look whole."""
    listener = socket.create_server(("127.0.0.1", 0))
    ours = socket.create_connection(listener.getsockname())
    theirs, _ = listener.accept()

    class Connected(Pipe):
        def get_extra_info(self, name: str, default: object = None) -> object:
            return ours if name == "socket" else default

        def abort(self) -> None:
            ours.close()

    with listener, theirs:
        ClientTransport(Connected()).abort()
        with pytest.raises(ConnectionResetError):
            theirs.recv(1)


LIMITS = Limits(head=100, body_rate=10)
TIMEOUTS = Timeouts(body=5.0)


def test_a_body_must_come_at_its_rate() -> None:
    """Reads may be `timeouts.body` apart, and the whole must come at `limits.body_rate` on average."""
    deadline = BodyDeadline()
    assert deadline.start(100.0, TIMEOUTS) == 105.0
    deadline.data = 20
    assert deadline.on_read(20, 101.0, LIMITS, TIMEOUTS) == 101.0 + 5.0
    deadline.data = 10
    assert deadline.on_read(10, 106.0, LIMITS, TIMEOUTS) == 101.0 + 5.0 + 3.0


def test_framing_without_data_is_limited_as_a_head_is() -> None:
    """Chunk extensions and trailers are held until they end, and take time."""
    deadline = BodyDeadline()
    deadline.start(0.0, TIMEOUTS)
    deadline.data = 1
    assert deadline.on_read(1, 0.0, LIMITS, TIMEOUTS) is not None
    assert deadline.on_read(100, 0.0, LIMITS, TIMEOUTS) is not None
    assert deadline.on_read(1, 0.0, LIMITS, TIMEOUTS) is None


@pytest.mark.parametrize(("framing", "refused"), [(5, False), (16, False), (17, True)])
def test_framing_may_be_sixteen_times_the_data(framing: int, refused: bool) -> None:
    """The smallest chunk has five bytes of framing to one of data; more than that are chunk extensions."""
    deadline = BodyDeadline()
    deadline.on_read(1, 0.0, LIMITS, TIMEOUTS)
    results = []
    for _ in range(200):
        deadline.data = 1
        results.append(deadline.on_read(1 + framing, 0.0, LIMITS, TIMEOUTS))
    assert (None in results) is refused
