"""The clients of the soak test: each kind of exchange, and the check of its response.

An outage may cause an error response (502, 503, 504) or a cut connection, but never a wrong result: no truncated
response looks complete, no valid token is refused, and no denied request is forwarded.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import grpc
import httpx
from harness.clients import Client, Response, pipelined
from harness.upstreams import PeerClosedError
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import connect

from soak.payload import DIGEST, is_whole, make
from soak.tally import Tally

_OUTAGE = frozenset({502, 503, 504})
_TIMEOUT = 60.0  # seconds; longer than any timeout of the enforcer, so that a client that waits longer hangs
_TOKENS = 2000
_GRPC_OUTAGE = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL})
_GARBAGE_PREFIXES = (b"", b"GET / HTTP/1.1\r\n", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")


class Worker(threading.Thread):
    """Sends the traffic of one connection after the other, until `stopped` is set.

    gRPC calls share `channel`, as the callers of an app do.
    """

    def __init__(self, port: int, tally: Tally, stopped: threading.Event, channel: Any) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._channel = channel
        self._tally = tally
        self._stop_event = stopped
        self._kinds: list[tuple[str, int, Callable[[Client], object]]] = [
            ("sized", 30, self._sized),
            ("chunked", 12, self._chunked),
            ("head", 5, self._head),
            ("upload", 12, self._upload),
            ("streamed", 8, self._streamed_upload),
            ("events", 3, self._events),
            ("denied", 15, self._denied),
            ("http10", 5, self._http10),
            ("pipelined", 4, self._pipelined),
            ("websocket", 4, self._websocket),
            ("http2", 4, self._http2),
            ("grpc", 8, self._grpc),
            ("garbage", 4, self._garbage),
            ("leaver", 4, self._leaver),
            ("slow", 1, self._slow_reader),
        ]

    def run(self) -> None:
        weights = [weight for _, weight, _ in self._kinds]
        while not self._stop_event.is_set():
            with Client(self._port, timeout=_TIMEOUT) as client:
                for _ in range(random.choice((1, 5, 50))):
                    kind, _, send = random.choices(self._kinds, weights)[0]
                    if self._stop_event.is_set() or not self._exchange(kind, send, client):
                        break

    def _exchange(self, kind: str, send: Callable[[Client], object], client: Client) -> bool:
        """Do one exchange; returns whether the connection can be reused."""
        client.token = f"good-{random.randrange(_TOKENS)}"
        try:
            outcome = send(client)
        except TimeoutError:
            self._tally.error(f"{kind}: no response within {_TIMEOUT:g} s")
            outcome = "hung"
        except (PeerClosedError, OSError):
            outcome = "cut"
        except Exception as error:  # noqa: BLE001 - any other exception is an error
            self._tally.error(f"{kind}: {error!r}")
            outcome = "unreadable"
        self._tally.count(kind, outcome)
        return isinstance(outcome, int) and client.reusable

    def _check(self, kind: str, response: Response, *, has_body: bool = True) -> int:
        if response.status == 200:
            if has_body and not is_whole(response.body):
                self._tally.error(
                    f"{kind}: a body of {len(response.body)} bytes is truncated or changed, but looked complete"
                )
        elif response.status not in _OUTAGE:
            self._tally.error(f"{kind}: {response.status} with a valid token: {response.body[:200]!r}")
        return response.status

    # Allowed requests

    def _sized(self, client: Client) -> int:
        return self._check("sized", client.request("GET", f"/allowed/sized/{_size()}"))

    def _chunked(self, client: Client) -> int:
        return self._check("chunked", client.request("GET", f"/allowed/chunked/{_size()}"))

    def _head(self, client: Client) -> int:
        size = _size()
        response = client.request("HEAD", f"/allowed/sized/{size}")
        if response.status == 200 and response.values("Content-Length") != [b"%d" % (size + DIGEST)]:
            self._tally.error("head: wrong Content-Length")
        return self._check("head", response, has_body=False)

    def _upload(self, client: Client) -> int:
        return self._check("upload", client.request("POST", "/allowed/upload", body=make(_size())))

    def _streamed_upload(self, client: Client) -> int:
        body = make(_size())
        client.begin("PUT", "/allowed/upload", [("Transfer-Encoding", "chunked")])
        for offset in range(0, len(body), 10_000):
            client.send(body[offset : offset + 10_000])
        client.end()
        return self._check("streamed", client.read_response())

    def _events(self, client: Client) -> int:
        response = client.request("GET", "/allowed/events/20")
        if response.status == 200 and response.body != b"".join(b"data: %d\n\n" % number for number in range(20)):
            self._tally.error("events: not the events that the app sent")
        return self._check("events", response, has_body=False)

    def _http10(self, _: Client) -> str:
        with Client(self._port, http10=True, timeout=_TIMEOUT, token=f"good-{random.randrange(_TOKENS)}") as client:
            kind = random.choice(("sized", "chunked"))
            return str(self._check("http10", client.request("GET", f"/allowed/{kind}/{_size()}")))

    def _pipelined(self, _: Client) -> str:
        sizes = [random.randrange(2000) for _ in range(5)]
        token = f"good-{random.randrange(_TOKENS)}"
        requests = [("GET", f"/allowed/sized/{size}", None) for size in sizes]
        responses = pipelined(self._port, requests, token=token, timeout=_TIMEOUT)
        for size, response in zip(sizes, responses, strict=False):
            if self._check("pipelined", response) == 200 and len(response.body) != size + DIGEST:
                self._tally.error("pipelined: a response belongs to another request")
        return f"{len(responses)} responses"

    def _websocket(self, client: Client) -> str:
        fields = {"Authorization": f"Bearer {client.token}"}
        url = f"ws://127.0.0.1:{self._port}/allowed/socket"
        try:
            with connect(url, additional_headers=fields, proxy=None, open_timeout=_TIMEOUT) as websocket:
                for _ in range(random.randrange(5)):
                    body = make(_size())
                    websocket.send(body)
                    if websocket.recv(_TIMEOUT) != body:
                        self._tally.error("websocket: the echo differs from the message")
        except InvalidStatus as refusal:
            if refusal.response.status_code not in _OUTAGE:
                self._tally.error(f"websocket: {refusal.response.status_code} with a valid token")
            return str(refusal.response.status_code)
        except WebSocketException:
            return "cut"
        return "echoed"

    def _http2(self, _: Client) -> str:
        fields = {"Authorization": f"Bearer good-{random.randrange(_TOKENS)}"}
        statuses: list[int] = []
        try:
            with httpx.Client(http1=False, http2=True, timeout=_TIMEOUT, headers=fields, trust_env=False) as http2:
                while len(statuses) < 5:
                    method, path, body = random.choice(
                        (
                            ("GET", f"/allowed/sized/{_size()}", None),
                            ("GET", f"/allowed/chunked/{_size()}", None),
                            ("POST", "/allowed/upload", make(_size())),
                            ("GET", "/denied/thing", None),
                        )
                    )
                    response = http2.request(method, f"http://127.0.0.1:{self._port}{path}", content=body)
                    self._check_http2(path, response)
                    statuses.append(response.status_code)
        except httpx.TimeoutException:
            self._tally.error(f"http2: no response within {_TIMEOUT:g} s")
            return "hung"
        except httpx.TransportError:
            return "cut"
        return f"{len(statuses)} responses"

    def _check_http2(self, path: str, response: httpx.Response) -> None:
        status = response.status_code
        right = {403} if path.startswith("/denied") else {200}
        if status not in right | _OUTAGE:
            self._tally.error(f"http2: {status} for {path}")
        elif status == 200 and not is_whole(response.content):
            self._tally.error(f"http2: a body of {len(response.content)} bytes is truncated, but looked complete")

    def _grpc(self, _: Client) -> str:
        credential = (("authorization", f"Bearer good-{random.randrange(_TOKENS)}"),)
        body = make(random.randrange(20_000))
        try:
            response = self._channel.unary_unary("/Echo/Unary")(body, timeout=_TIMEOUT, metadata=credential)
        except grpc.RpcError as error:
            if error.code() not in _GRPC_OUTAGE:
                self._tally.error(f"grpc: {error.code()} with a valid token: {error.details()}")
            return str(error.code())
        if response != b"re: " + body:
            self._tally.error("grpc: the response belongs to another call")
        return "answered"

    # Denied requests, malformed requests and clients that leave

    def _denied(self, client: Client) -> int:
        token, target, statuses = random.choice(
            (
                (None, "/denied/thing", {401}),
                (f"weak-{random.randrange(100)}", "/denied/thing", {403, 503}),
                (f"dead-{random.randrange(_TOKENS)}", "/denied/thing", {401, 503}),
                (f"good-{random.randrange(_TOKENS)}", "/denied/thing", {403, 503}),
                (f"good-{random.randrange(_TOKENS)}", "/nowhere/thing", {403}),
                (f"good-{random.randrange(_TOKENS)}", "/allowed/../denied/thing", {400}),
            )
        )
        client.token = token
        body = make(1000) if random.random() < 0.2 else None
        response = client.request("GET" if body is None else "POST", target, body=body)
        if response.status not in statuses:
            self._tally.error(f"denied: {response.status} for {target} with {token}")
        return response.status

    def _garbage(self, client: Client) -> str:
        client.socket.sendall(
            random.choice(_GARBAGE_PREFIXES) + random.randbytes(random.randrange(20, 2000)) + b"\r\n\r\n"
        )
        received = client.socket.recv(65536)
        while received and (chunk := client.socket.recv(65536)):
            received += chunk
        if received and not received.startswith(b"HTTP/1.1 4") and not received.startswith(b"HTTP/1.1 501 "):
            self._tally.error(f"garbage: the response begins with {received[:100]!r}")
        return received[9:12].decode() or "closed"

    def _leaver(self, client: Client) -> str:
        moment = random.choice(("in the head", "in the body", "while waiting", "in the response"))
        if moment == "in the head":
            client.socket.sendall(b"GET /allowed/sized/1 HTTP/1.1\r\nHost: local")
        elif moment == "in the body":
            client.begin("POST", "/allowed/upload", [("Content-Length", "100000")])
            client.send(make(1000))
        else:
            client.begin("GET", "/allowed/chunked/1000000")
            client.end()
            if moment == "in the response":
                client.read_head()
        return moment

    def _slow_reader(self, client: Client) -> int:
        client.begin("GET", "/allowed/sized/1000000")
        client.end()
        self._stop_event.wait(0.5)
        return self._check("slow", client.read_response())


def _size() -> int:
    return random.choices((random.randrange(2000), random.randrange(200_000), 3_000_000), (80, 19, 1))[0]
