"""gRPC through the enforcer: a real client, a real app, on plain text and with TLS on both sides."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import pytest
from harness.certificates import Authority
from harness.configs import RULES, TOKEN, TOKENS, config
from harness.ports import closed_port
from harness.processes import Enforcer, enforcer
from harness.servers import introspection_server
from harness.usage import metric
from harness.waiting import TIMEOUT, eventually

grpc = pytest.importorskip("grpc", reason="needs grpcio")

from harness.grpc_app import GrpcApp, grpc_app  # noqa: E402

# In seconds: grpcio turns the deadline from one clock into another on each side, and rounds `grpc-timeout` up.
CLOCK_DIFFERENCE = 0.01

HEALTH = {"name": "health", "path": "/grpc.health.v1.Health/Check", "public": True}


def h2c(port: int) -> dict[str, Any]:
    return {"url": f"http://127.0.0.1:{port}", "protocol": "h2c"}


class Stack:
    """An enforcer, the app behind it, and a channel to it."""

    def __init__(self, process: Enforcer, app: GrpcApp, channel: Any) -> None:
        self.process = process
        self.app = app
        self._channel = channel

    def call(self, method: str, kind: str = "unary_unary") -> Any:
        """Return a function that calls a method of `Echo`, with the token unless `metadata` are given."""
        return getattr(self._channel, kind)(f"/Echo/{method}" if "/" not in method else method)


CREDENTIAL = (("authorization", f"Bearer {TOKEN}"),)


@pytest.fixture(scope="module", params=["plain", "tls"])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    if request.param == "plain":
        with grpc_app() as (app, port), introspection_server(TOKENS) as server:
            text = config("", server.port, upstream=h2c(port), rules=[HEALTH, *RULES])
            with enforcer(text) as process, grpc.insecure_channel(f"127.0.0.1:{process.port}") as channel:
                yield Stack(process, app, channel)
        return
    authority = Authority(tmp_path_factory.mktemp("authority"))
    certificate, key = authority.issue("127.0.0.1")
    pair = key.read_bytes(), certificate.read_bytes()
    with grpc_app(pair) as (app, port), introspection_server(TOKENS) as server:
        upstream = {"url": f"https://127.0.0.1:{port}", "tls": {"ca": str(authority.ca)}, "protocol": "auto"}
        listener = {"tls": {"certificate": str(certificate), "key": str(key)}}
        text = config("", server.port, upstream=upstream, listener=listener, rules=[HEALTH, *RULES])
        credentials = grpc.ssl_channel_credentials(authority.ca.read_bytes())
        with enforcer(text) as process, grpc.secure_channel(f"127.0.0.1:{process.port}", credentials) as channel:
            yield Stack(process, app, channel)


def test_a_call_passes_with_its_metadata(stack: Stack) -> None:
    """Both ways, and the identity of the token is added."""
    metadata = (*CREDENTIAL, ("x-own", "value"), ("x-auth-subject", "mallory"))
    response, call = stack.call("Unary").with_call(b"hello", timeout=TIMEOUT, metadata=metadata)
    assert response == b"re: hello"
    assert dict(call.initial_metadata())["x-initial"] == "first"
    assert dict(call.trailing_metadata()) == {"x-trailing": "last", "x-data-bin": b"\0\xff"}
    received = stack.app.metadata
    assert (received["x-own"], received["x-auth-subject"]) == ("value", "alice")


def test_calls_share_few_connections(stack: Stack) -> None:
    """A hundred calls at once come back, each with its own response."""
    unary = stack.call("Unary")
    calls = [unary.future(b"%d" % number, timeout=TIMEOUT, metadata=CREDENTIAL) for number in range(100)]
    assert [call.result() for call in calls] == [b"re: %d" % number for number in range(100)]


def test_all_streams_pass(stack: Stack) -> None:
    """Messages down, up, and both ways."""
    down = stack.call("Down", "unary_stream")(b"500", timeout=TIMEOUT, metadata=CREDENTIAL)
    assert list(down) == [b"%d" % number for number in range(500)]
    up = stack.call("Up", "stream_unary")
    assert up(iter([bytes(1000)] * 500), timeout=TIMEOUT, metadata=CREDENTIAL) == b"500000"


def test_a_dialogue_passes_message_by_message(stack: Stack) -> None:
    """Each is there before the next one is sent."""
    messages: queue.Queue[bytes | None] = queue.Queue()
    call = stack.call("Both", "stream_stream")(iter(messages.get, None), timeout=TIMEOUT, metadata=CREDENTIAL)
    for number in range(20):
        messages.put(b"%d" % number)
        assert next(call) == b"re: %d" % number
    messages.put(None)
    assert list(call) == []
    assert call.code() is grpc.StatusCode.OK


def test_large_messages_pass(stack: Stack) -> None:
    """They are many times as large as any window."""
    message = bytes(range(256)) * 12_000
    assert stack.call("Unary")(message, timeout=TIMEOUT, metadata=CREDENTIAL) == b"re: " + message


def test_the_status_of_the_app_passes(stack: Stack) -> None:
    """Code and message, in a response that has nothing else."""
    with pytest.raises(grpc.RpcError) as error:
        stack.call("Fail")(b"", timeout=TIMEOUT, metadata=CREDENTIAL)
    assert (error.value.code(), error.value.details()) == (grpc.StatusCode.NOT_FOUND, "no such thing: 100% gone")


def test_a_deadline_reaches_the_app(stack: Stack) -> None:
    """As does its end: the app's call is cancelled."""
    stack.app.cancelled = False
    with pytest.raises(grpc.RpcError) as error:
        stack.call("Wait")(b"", timeout=0.5, metadata=CREDENTIAL)
    assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert stack.app.remaining is not None
    assert stack.app.remaining <= 0.5 + CLOCK_DIFFERENCE
    assert eventually(lambda: stack.app.cancelled)


def test_a_cancelled_call_is_cancelled_at_the_app(stack: Stack) -> None:
    """The client's RST_STREAM becomes one to the app."""
    stack.app.cancelled = False
    stack.app.metadata = {}
    call = stack.call("Wait").future(b"", timeout=TIMEOUT, metadata=CREDENTIAL)
    assert eventually(lambda: stack.app.metadata)
    call.cancel()
    assert eventually(lambda: stack.app.cancelled)


def test_a_refusal_has_a_status_and_the_challenge(stack: Stack) -> None:
    """A client takes any other response for a fault of the network. Metrics count what HTTP would have said."""
    unary = stack.call("Unary")
    with pytest.raises(grpc.RpcError) as error:
        unary(b"", timeout=TIMEOUT)
    assert (error.value.code(), error.value.details()) == (grpc.StatusCode.UNAUTHENTICATED, "an access token is needed")
    assert dict(error.value.trailing_metadata())["www-authenticate"] == "Bearer"
    with pytest.raises(grpc.RpcError) as error:
        unary(b"", timeout=TIMEOUT, metadata=(("authorization", "Bearer other-token"),))
    assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED
    challenge = dict(error.value.trailing_metadata())["www-authenticate"]
    assert challenge == 'Bearer error="insufficient_scope", scope="read"'
    assert metric(stack.process, 'enforcer_requests_total{code="401",method="POST",route="all else"}') == 1


def test_a_refused_stream_gets_its_status(stack: Stack) -> None:
    """Although the client still sends."""
    with pytest.raises(grpc.RpcError) as error:
        stack.call("Up", "stream_unary")(iter([bytes(1000)] * 500), timeout=TIMEOUT)
    assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_health_check_passes_by_a_rule(stack: Stack) -> None:
    """The service grpc.health.v1 is a path like any other."""
    assert stack.call("/grpc.health.v1.Health/Check")(b"", timeout=TIMEOUT) == b"\x08\x01"


def test_an_app_that_cannot_be_reached_is_unavailable() -> None:
    """GRPC clients try again then."""
    with (
        introspection_server(TOKENS) as server,
        closed_port() as port,
        enforcer(config("", server.port, upstream=h2c(port))) as process,
        grpc.insecure_channel(f"127.0.0.1:{process.port}") as channel,
        pytest.raises(grpc.RpcError) as error,
    ):
        channel.unary_unary("/public/Unary")(b"", timeout=TIMEOUT)
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    assert error.value.details() == "the upstream cannot be reached"
