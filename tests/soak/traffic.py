"""The clients of the soak: each kind of exchange, and the check of its answer.

An outage may cost an answer (502, 503, 504, or a connection cut in the middle), and never its truth: no answer that is
cut looks whole, no good token is called bad, and nothing denied gets through.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from harness.clients import Client, Response, pipelined
from harness.upstreams import PeerClosedError
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import connect

from soak.payload import DIGEST, is_whole, make
from soak.tally import Tally

_OUTAGE = frozenset({502, 503, 504})
_PATIENCE = 60.0  # seconds; longer than any time the enforcer has, so that who waits as long waits for ever
_TOKENS = 2000
_BEGINNINGS = (b"", b"GET / HTTP/1.1\r\n", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")


class Worker(threading.Thread):
    """One connection's worth of traffic after the other, until `over`."""

    def __init__(self, port: int, tally: Tally, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._tally = tally
        self._over = over
        self._kinds: list[tuple[str, int, Callable[[Client], object]]] = [
            ("sized", 30, self._sized),
            ("chunked", 12, self._chunked),
            ("head", 5, self._head),
            ("upload", 12, self._upload),
            ("streamed", 8, self._streamed_upload),
            ("events", 3, self._events),
            ("denied", 15, self._denied),
            ("old", 5, self._old),
            ("pipelined", 4, self._pipelined),
            ("websocket", 4, self._websocket),
            ("garbage", 4, self._garbage),
            ("leaver", 4, self._leaver),
            ("slow", 1, self._slow_reader),
        ]

    def run(self) -> None:
        weights = [weight for _, weight, _ in self._kinds]
        while not self._over.is_set():
            with Client(self._port, timeout=_PATIENCE) as client:
                for _ in range(random.choice((1, 5, 50))):
                    kind, _, act = random.choices(self._kinds, weights)[0]
                    if self._over.is_set() or not self._exchange(kind, act, client):
                        break

    def _exchange(self, kind: str, act: Callable[[Client], object], client: Client) -> bool:
        """Make one exchange; returns whether its connection may be used again."""
        client.token = f"good-{random.randrange(_TOKENS)}"
        try:
            outcome = act(client)
        except TimeoutError:
            self._tally.wrong(f"{kind}: no answer for {_PATIENCE:g} s")
            outcome = "hung"
        except (PeerClosedError, OSError):
            outcome = "cut"
        except Exception as error:  # noqa: BLE001 - whatever a client cannot read is wrong
            self._tally.wrong(f"{kind}: {error!r}")
            outcome = "unreadable"
        self._tally.count(kind, outcome)
        return isinstance(outcome, int) and client.reusable

    def _check(self, kind: str, answer: Response, *, has_body: bool = True) -> int:
        if answer.status == 200:
            if has_body and not is_whole(answer.body):
                self._tally.wrong(f"{kind}: a body of {len(answer.body)} bytes is not whole, and looked so")
        elif answer.status not in _OUTAGE:
            self._tally.wrong(f"{kind}: {answer.status} with a good token: {answer.body[:200]!r}")
        return answer.status

    # What is allowed

    def _sized(self, client: Client) -> int:
        return self._check("sized", client.request("GET", f"/allowed/sized/{_size()}"))

    def _chunked(self, client: Client) -> int:
        return self._check("chunked", client.request("GET", f"/allowed/chunked/{_size()}"))

    def _head(self, client: Client) -> int:
        size = _size()
        answer = client.request("HEAD", f"/allowed/sized/{size}")
        if answer.status == 200 and answer.values("Content-Length") != [b"%d" % (size + DIGEST)]:
            self._tally.wrong("head: the length is another's")
        return self._check("head", answer, has_body=False)

    def _upload(self, client: Client) -> int:
        return self._check("upload", client.request("POST", "/allowed/upload", body=make(_size())))

    def _streamed_upload(self, client: Client) -> int:
        body = make(_size())
        client.begin("PUT", "/allowed/upload", [("Transfer-Encoding", "chunked")])
        for at in range(0, len(body), 10_000):
            client.send(body[at : at + 10_000])
        client.end()
        return self._check("streamed", client.read_response())

    def _events(self, client: Client) -> int:
        answer = client.request("GET", "/allowed/events/20")
        if answer.status == 200 and answer.body != b"".join(b"data: %d\n\n" % number for number in range(20)):
            self._tally.wrong("events: not those that were sent")
        return self._check("events", answer, has_body=False)

    def _old(self, _: Client) -> str:
        with Client(self._port, http10=True, timeout=_PATIENCE, token=f"good-{random.randrange(_TOKENS)}") as client:
            kind = random.choice(("sized", "chunked"))
            return str(self._check("old", client.request("GET", f"/allowed/{kind}/{_size()}")))

    def _pipelined(self, _: Client) -> str:
        sizes = [random.randrange(2000) for _ in range(5)]
        token = f"good-{random.randrange(_TOKENS)}"
        asked = [("GET", f"/allowed/sized/{size}", None) for size in sizes]
        answers = pipelined(self._port, asked, token=token, timeout=_PATIENCE)
        for size, answer in zip(sizes, answers, strict=False):
            if self._check("pipelined", answer) == 200 and len(answer.body) != size + DIGEST:
                self._tally.wrong("pipelined: an answer is another's")
        return f"{len(answers)} answers"

    def _websocket(self, client: Client) -> str:
        fields = {"Authorization": f"Bearer {client.token}"}
        url = f"ws://127.0.0.1:{self._port}/allowed/socket"
        try:
            with connect(url, additional_headers=fields, proxy=None, open_timeout=_PATIENCE) as websocket:
                for _ in range(random.randrange(5)):
                    body = make(_size())
                    websocket.send(body)
                    if websocket.recv(_PATIENCE) != body:
                        self._tally.wrong("websocket: another message than was sent")
        except InvalidStatus as refusal:
            if refusal.response.status_code not in _OUTAGE:
                self._tally.wrong(f"websocket: {refusal.response.status_code} with a good token")
            return str(refusal.response.status_code)
        except WebSocketException:
            return "cut"
        return "echoed"

    # What is not

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
        answer = client.request("GET" if body is None else "POST", target, body=body)
        if answer.status not in statuses:
            self._tally.wrong(f"denied: {answer.status} for {target} with {token}")
        return answer.status

    def _garbage(self, client: Client) -> str:
        client.socket.sendall(random.choice(_BEGINNINGS) + random.randbytes(random.randrange(20, 2000)) + b"\r\n\r\n")
        received = client.socket.recv(65536)
        while received and (more := client.socket.recv(65536)):
            received += more
        if received and not received.startswith(b"HTTP/1.1 4") and not received.startswith(b"HTTP/1.1 501 "):
            self._tally.wrong(f"garbage: answered by {received[:100]!r}")
        return received[9:12].decode() or "closed"

    def _leaver(self, client: Client) -> str:
        when = random.choice(("in the head", "in the body", "in the wait", "in the answer"))
        if when == "in the head":
            client.socket.sendall(b"GET /allowed/sized/1 HTTP/1.1\r\nHost: local")
        elif when == "in the body":
            client.begin("POST", "/allowed/upload", [("Content-Length", "100000")])
            client.send(make(1000))
        else:
            client.begin("GET", "/allowed/chunked/1000000")
            client.end()
            if when == "in the answer":
                client.read_head()
        return when

    def _slow_reader(self, client: Client) -> int:
        client.begin("GET", "/allowed/sized/1000000")
        client.end()
        self._over.wait(0.5)
        return self._check("slow", client.read_response())


def _size() -> int:
    return random.choices((random.randrange(2000), random.randrange(200_000), 3_000_000), (80, 19, 1))[0]
