"""What an authorization server may answer: never wider access, never a crash, never more memory than is due."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs

import pytest
from bed import WORTH, Bed, asking, bed, get, token
from harness import corpora
from harness.heads import field, is_wholesome
from harness.servers import response, serving
from harness.usage import peak_memory
from harness.waiting import eventually

_GOOD = json.dumps({"active": True, **WORTH["R"]}).encode()
_GIBIBYTE = 1024**3
_ROOM = 16 * 1024**2


class _Scripted:
    """An authorization server that says what the test has put into `answer`."""

    def __init__(self) -> None:
        self.answer = b""

    def __call__(self, head: bytes, body: bytes) -> bytes:
        return self.answer


@pytest.fixture(scope="module")
def scripted() -> Iterator[tuple[Bed, _Scripted]]:
    script = _Scripted()
    with bed(introspect=script) as laid:
        yield laid, script


@pytest.mark.parametrize(("case", "answer"), corpora.answers("authorization"))
def test_answer_is_worth_what_is_documented(scripted: tuple[Bed, _Scripted], case: dict[str, Any], answer: str) -> None:
    """What cannot be read is 503 and never a judgement; what can be read gives no more than it says."""
    laid, script = scripted
    body = answer.replace("$NOW", str(int(time.time())))
    script.answer = body.encode("latin-1") if case.get("raw") else response(body.encode())
    status, head, _ = get(laid, "/api/x", token("T"))
    assert status == case["status"]
    assert (field(head, "Retry-After") == [b"5"]) == (status == 503)


@pytest.mark.parametrize("case", corpora.read("identity"), ids=lambda case: case["claim"])
def test_claim_stays_one_value(scripted: tuple[Bed, _Scripted], case: dict[str, Any]) -> None:
    """A claim written by a stranger is one value of one field, whatever is in it."""
    laid, script = scripted
    claim = json.loads(case["claim"])
    script.answer = response(json.dumps({"active": True, "scope": "read", "sub": claim}).encode())
    assert get(laid, "/api/x", token("T"))[0] == 200
    head = laid.upstream.heads[-1]
    assert is_wholesome(head)
    assert field(head, "X-Auth-Subject") == ([case["value"].encode()] if "value" in case else [])
    assert field(head, "X-Auth-Scope") == [b"read"]


# Servers that do not keep to what an answer is


def _until_it_hangs_up(connection: socket.socket, first: bytes, piece: bytes, most: int = _GIBIBYTE) -> None:
    connection.sendall(first)
    for _ in range(most // len(piece)):
        connection.sendall(piece)


def _drip(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    connection.settimeout(0.02)
    while True:
        connection.sendall(b" ")
        try:
            if not connection.recv(1):
                return
        except TimeoutError:
            continue


def _wait(connection: socket.socket) -> None:
    connection.recv(1)


_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"
_PIECE = b" " * 65536
_BOMB = gzip.compress(b" " * 40 * 1024**2)

_MISBEHAVIOURS: dict[str, Callable[[socket.socket], None]] = {
    "a body of a gibibyte, in chunks": lambda c: _until_it_hangs_up(c, _CHUNKED, b"10000\r\n" + _PIECE + b"\r\n"),
    "a body of a gibibyte, sized": lambda c: _until_it_hangs_up(c, _OK + b"Content-Length: 1073741824\r\n\r\n", _PIECE),
    "a body until the connection ends": lambda c: _until_it_hangs_up(c, _OK + b"\r\n", _PIECE),
    "a field without end": lambda c: _until_it_hangs_up(c, _OK + b"X: ", _PIECE),
    "fields without end": lambda c: _until_it_hangs_up(c, _OK, b"X-Some: yyyyyyyy\r\n" * 1000),
    "interim answers without end": lambda c: _until_it_hangs_up(c, b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "a reason without end": lambda c: _until_it_hangs_up(c, b"HTTP/1.1 200 ", b"a" * 65536),
    "blank lines without end": lambda c: _until_it_hangs_up(c, b"", b"\r\n" * 30000),
    "a trailer without end": lambda c: _until_it_hangs_up(c, _CHUNKED + b"1\r\n{\r\n0\r\nX: ", b"a" * 65536),
    "trailers without end": lambda c: _until_it_hangs_up(c, _CHUNKED + b"1\r\n{\r\n0\r\n", b"X: yyyyyyyy\r\n" * 4000),
    "a chunk extension without end": lambda c: _until_it_hangs_up(c, _CHUNKED + b"1;", b"a" * 65536),
    "many small chunks": lambda c: _until_it_hangs_up(c, _CHUNKED, b"1\r\n \r\n" * 10000),
    "a bomb": lambda c: c.sendall(_OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(_BOMB) + _BOMB),
    "depth": lambda c: c.sendall(response(b'{"active": true, "scope": "read", "x": ' + b"[" * 60000)),
    "depth that is closed again": lambda c: c.sendall(
        response(b'{"active": true, "scope": "read", "sub": ' + b"[" * 30000 + b"]" * 30000 + b"}")
    ),
    "a number of many digits": lambda c: c.sendall(
        response(b'{"active": true, "scope": "read", "exp": ' + b"9" * 60000 + b"}")
    ),
    "drops": _drip,
    "silence": _wait,
    "nothing": lambda c: None,
    "half an answer": lambda c: c.sendall(_OK + b"Content-Length: %d\r\n\r\n" % len(_GOOD) + _GOOD[:-1]),
    "half a head": lambda c: c.sendall(_OK + b"Content-Le"),
    "a chunk that is cut": lambda c: c.sendall(_CHUNKED + b"%x\r\n" % len(_GOOD) + _GOOD[:-1]),
    "chunks without an end": lambda c: c.sendall(_CHUNKED + b"%x\r\n" % len(_GOOD) + _GOOD + b"\r\n"),
}


@contextmanager
def _misbehaving() -> Iterator[int]:
    """Run a server that, after a call about the token `M<n>~…`, does the n-th misbehaviour, and hangs up."""
    behaviours = list(_MISBEHAVIOURS.values())

    def serve(connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as stream:
                head = b"".join(iter(stream.readline, b"\r\n"))
                length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
                asked = parse_qs(stream.read(length))[b"token"][0]
                behaviours[int(asked.partition(b"~")[0][1:])](connection)
        except OSError:
            return

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def victim() -> Iterator[Bed]:
    with _misbehaving() as port, bed(authorization_servers=[asking(port, timeout="500ms")]) as laid:
        yield laid


@pytest.mark.parametrize("number", range(len(_MISBEHAVIOURS)), ids=list(_MISBEHAVIOURS))
def test_misbehaviour_is_a_fault_and_not_a_judgement(victim: Bed, number: int) -> None:
    """A server that breaks its promise costs the request a 503, and the process no memory."""
    before = peak_memory(victim.enforcer.process.pid)
    assert get(victim, "/api/x", token(f"M{number}"))[0] == 503
    assert get(victim, "/public/x")[0] == 200
    assert peak_memory(victim.enforcer.process.pid) - before < _ROOM


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_leads_nowhere(scripted: tuple[Bed, _Scripted], status: int) -> None:
    """A redirect is an error, and the token is not sent where it points."""
    laid, script = scripted
    with serving(lambda head, body: response(_GOOD)) as elsewhere:
        location = f"Location: http://127.0.0.1:{elsewhere.port}/introspect"
        script.answer = response(_GOOD, f"{status} Elsewhere", location)
        assert get(laid, "/api/x", token("T"))[0] == 503
        assert elsewhere.connections == 0


def test_bytes_behind_an_answer_are_nobodys() -> None:
    """A second answer behind the first one is not taken for the answer about the next token."""
    inactive, forged = response(b'{"active": false}'), response(b'{"active": true, "scope": "read admin"}')
    with (
        serving(lambda head, body: inactive + forged) as server,
        bed(authorization_servers=[asking(server.port, pool={"connections": 1})]) as laid,
    ):
        assert [get(laid, "/admin", token("T"))[0] for _ in range(20)] == [401] * 20


def test_tokens_of_two_servers_are_told_apart() -> None:
    """What one server says of a token is not remembered of the same token of another."""
    asked: list[bytes] = []

    def never(head: bytes, body: bytes) -> bytes:
        asked.append(body)
        return response(b'{"active": false}')

    with serving(lambda head, body: response(_GOOD)) as one, serving(never) as other:
        servers = [asking(one.port, name="one"), asking(other.port, name="other")]
        rules = [
            {"name": name, "path": f"/{name}", "scopes": ["read"], "authorization_server": name}
            for name in ("one", "other")
        ]
        with bed(authorization_servers=servers, rules=rules) as laid:
            same = token("R")
            assert [get(laid, path, same)[0] for path in ("/one", "/other", "/one", "/other")] == [200, 401, 200, 401]
            assert (len(one.requests), len(asked)) == (1, 1)


def test_token_that_ends_while_it_is_remembered_is_refused_from_then_on() -> None:
    """A remembered answer ends with its token, however long answers are remembered, and whatever the server says."""
    ends: list[float] = []

    def short_lived(head: bytes, body: bytes) -> bytes:
        ends.append(ends[0] if ends else time.time() + 1.0)
        return response(json.dumps({"active": True, "scope": "read", "exp": ends[0]}).encode())

    with bed(introspect=short_lived) as laid:
        short = token("R")
        seen: list[tuple[float, int]] = []

        def refused() -> bool:
            seen.append((time.time(), get(laid, "/api/x", short)[0]))
            return seen[-1][1] != 200

        assert eventually(refused)
        assert seen[0][1] == 200
        assert seen[-1][1] == 401
        assert all(at < ends[0] for at, status in seen if status == 200)
        assert [get(laid, "/api/x", short)[0] for _ in range(3)] == [401] * 3
