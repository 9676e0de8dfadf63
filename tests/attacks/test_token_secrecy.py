"""The token stays inside: whatever happens to a request, nobody but the two servers behind the enforcer sees it."""

from __future__ import annotations

import base64
import http.client
import json
import re
from urllib.parse import unquote

import pytest
from harness.processes import SECRET
from harness.servers import response
from harness.testbed import ResponseReader, Testbed, connect, echo, run_testbed

_MARKER = "MARKER-0xC0FFEE"
_GET = "GET {} HTTP/1.1\r\nHost: app\r\nAuthorization: Bearer {}\r\n{}\r\n"


def _judge(head: bytes, body: bytes) -> bytes | None:
    """Answer as the token says, and let an answer that fails tell the token wherever it can."""
    said = unquote(body.decode().partition("token=")[2].partition("&")[0])
    return {
        "good": response(b'{"active": true, "scope": "read", "sub": "someone"}'),
        "expired": response(b'{"active": true, "scope": "read", "exp": 1}'),
        "bound": response(b'{"active": true, "scope": "read", "cnf": {"jkt": "x"}}'),
        "garbage": said.encode(),
        "field": f"HTTP/1.1 200 {said}\r\n{said}: \x00{said}\r\n\r\n".encode(),
        "html": response(said.encode()),
        "members": response(json.dumps({"active": said, said: said}).encode()),
        "time": response(json.dumps({"active": True, "exp": said, "scope": said}).encode()),
        "refused": response(said.encode(), f"401 {said}", f"WWW-Authenticate: {said}"),
        "redirect": response(said.encode(), f"302 {said}", f"Location: http://127.0.0.1:1/{said}"),
        "broken": response(said.encode(), f"500 {said}"),
        "switching": f"HTTP/1.1 101 {said}\r\nConnection: Upgrade\r\nUpgrade: {said}\r\n\r\n".encode(),
        "gone": None,
    }.get(said.rpartition(".")[2], response(b'{"active": false}'))


def _app(head: bytes, body: bytes) -> bytes | None:
    """Answer as the path says, and let an answer that fails tell the token wherever it can."""
    said = head.partition(b"Bearer ")[2].partition(b"\r\n")[0]
    path = head.split(b" ")[1]
    if path == b"/api/garbage":
        return said
    if path == b"/api/field":
        return b"HTTP/1.1 200 %b\r\n%b: \x00%b\r\n\r\n" % (said, said, said)
    if path == b"/api/chunk":
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%b\r\n%b" % (said, said)
    if path == b"/api/gone":
        return None
    return echo(head, body)


def _requests() -> list[str]:
    ends = [
        "good",
        "expired",
        "garbage",
        "field",
        "html",
        "members",
        "time",
        "refused",
        "redirect",
        "broken",
        "switching",
        "gone",
        "unknown",
    ]
    marked = _MARKER + "."
    good = marked + "good"
    return [
        *(_GET.format("/api/x", marked + end, "") for end in ends),
        *(_GET.format(f"/api/{path}", good, "") for path in ("garbage", "field", "chunk", "gone")),
        _GET.format("/admin", good, ""),
        _GET.format("/nothing", good, ""),
        *(
            _GET.format("/api/x", marked + end, f"DPoP: {proof}\r\nClient-Cert: :{marked}:\r\n").replace(
                "Bearer", scheme
            )
            for end in ("good", "bound", "unknown", "gone")
            for proof in (marked, f"e30.{marked}.{marked}")
            for scheme in ("Bearer", "DPoP")
        ),
        _GET.format("/api/x", f"{good} {good}", f"DPoP: {good}\r\n").replace("Bearer", "DPoP"),
        _GET.format(f"/api/{marked}x", marked, ""),
        _GET.format(f"/admin/../{marked}x", marked, ""),
        _GET.format("/api/x", good, f"Authorization: Bearer {good}\r\n"),
        _GET.format(f"/api/x?access_token={good}", good, ""),
        _GET.format("/api/x", good + "&!", ""),
        _GET.format("/api/x", f'"{good}"', ""),
        _GET.format("/api/x", f"{good} {good}", ""),
        _GET.format("/api/x", good + "x" * 9000, ""),
        _GET.format("/api/x", good + "\x00", ""),
        _GET.format("/api/x", good, f"{good} : x\r\n"),
        _GET.format("/api/x", good, f"Host: {good}\r\n"),
        _GET.format("/api/x", good, f"Content-Length: {good}\r\n"),
        _GET.format("/api/x", good, f"Transfer-Encoding: {good}\r\n"),
        _GET.format("/admin/ws", good, "Connection: Upgrade\r\nUpgrade: websocket\r\n"),
        f"{good} /api/x HTTP/1.1\r\nHost: app\r\n\r\n",
        f"GET {good} HTTP/1.1\r\nHost: app\r\n\r\n",
        f"GET http://{good}/api/x HTTP/1.1\r\nHost: app\r\n\r\n",
        f"GET /api/x HTTP/1.1\r\nHost: {good} {good}\r\n\r\n",
        f"GET /api/x {good}\r\nHost: app\r\n\r\n",
        f"GET /api/x HTTP/1.1\r\nHost: app\r\nAuthorization: {good}\r\n\r\n",
        f"GET /api/x HTTP/1.1\r\nHost: app\r\nAuthorization: Basic {good}\r\n\r\n",
        _GET.format("/api/x", good, "Transfer-Encoding: chunked\r\n") + f"{good}\r\n",
        _GET.format("/admin", good, f"X-Request-Id: {good}\r\n"),
        _GET.format("/admin", good, f"X-Request-Id: of-{good}\r\n"),
        _GET.format("/admin", good, f"X-Request-Id: {_MARKER}\r\n"),
        _GET.format("/admin//", good, f"X-Request-Id: {good}\r\n"),
        _GET.format(f"/admin?access_token={good}", "other", f"X-Request-Id: {good}\r\n"),
        _GET.format(f"/admin/{good}", good, ""),
        _GET.format(f"/admin/{good}".replace("M", "%4d"), good, ""),
        _GET.format(f"/admin/{_MARKER}", good, ""),
    ]


def _told(laid: Testbed) -> list[bytes]:
    """Send every request, and return what the enforcer itself says in answer."""
    told = []
    for request in _requests():
        with connect(laid.enforcer.port) as connection:
            connection.sendall(request.encode("latin-1"))
            try:
                status, head, body = ResponseReader(connection).next()
            except EOFError:
                continue
            if status != 200:
                told.append(head + body)
    return told


def _asked(laid: Testbed, told: list[bytes]) -> list[bytes]:
    """Ask the operator's side for all it has, of what the enforcer has told too, and return what it says."""
    said = []
    ids = re.findall(rb"X-Request-Id: ([^\s{]+)", b"".join(told))
    assert len(ids) > 30
    purge = json.dumps({"token": _MARKER + ".good"})
    odd = f'{{"token": "{_MARKER}\\ud800"}}'
    for method, path, body in (
        ("GET", "/metrics", None), ("GET", "/livez", None), ("GET", "/readyz", None), ("GET", f"/{_MARKER}", None),
        ("POST", "/cache/purge", purge), ("POST", "/cache/purge", odd), ("POST", "/cache/purge", _MARKER),
        ("GET", f"/decisions/{_MARKER}", None), *(("GET", f"/decisions/{one.decode()}", None) for one in ids),
    ):  # fmt: skip
        connection = http.client.HTTPConnection("127.0.0.1", laid.enforcer.admin_port, timeout=10)
        connection.request(method, path, body, {"Authorization": "Bearer operator"})
        answer = connection.getresponse()
        said.append(str(answer.headers).encode() + answer.read())
        connection.close()
    return said


@pytest.mark.parametrize("style", ["text", "json"])
def test_token_is_told_to_nobody(style: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer of the enforcer's own, no metric, no answer to the operator and no log line holds token or secret.

    As CVE-2022-23469 did: at the most talkative level.
    """
    monkeypatch.setenv("ADMIN_CREDENTIAL", "operator")
    log = {"level": "debug", "format": style, "decisions": "all"}
    with run_testbed(_app, _judge, log=log, admin={"credential": {"env": "ADMIN_CREDENTIAL"}}) as laid:
        told = _told(laid)
        asked = _asked(laid, told)
        reached = b"".join(head for head, _ in laid.upstream.requests)
        assert laid.enforcer.stop() == 0
        assert laid.enforcer.process.stderr is not None
        log_lines = "".join(laid.enforcer.lines) + laid.enforcer.process.stderr.read()
    assert len(told) > 40
    assert b"enforcer_requests_total" in b"".join(asked)
    assert b'"reason":"insufficient_scope"' in b"".join(asked)
    assert b"Internal Server Error" not in b"".join(asked)
    assert '"reason": "insufficient_scope"' in log_lines
    assert _MARKER.encode() in reached
    basic = base64.b64encode(f"enforcer:{SECRET}".encode()).decode()
    for secret in (_MARKER, _MARKER[7:], SECRET, basic):
        assert secret.encode() not in b"".join(told)
        assert secret.encode() not in b"".join(asked)
        assert secret not in log_lines
        assert secret == _MARKER or secret == _MARKER[7:] or secret.encode() not in reached
    assert "gives no usable answer" in log_lines


def test_token_that_is_removed_reaches_the_app_in_no_form() -> None:
    """Where the token is not passed on, the app sees it in no field and no trailer."""
    with run_testbed(forwarding={"authorization": "remove"}) as laid:
        marked = f"R~{_MARKER}"
        chunks = "Transfer-Encoding: chunked\r\nConnection: Authorization\r\n"
        trailers = f"1\r\na\r\n0\r\nAuthorization: Bearer {marked}\r\nX-Some: y\r\n\r\n"
        for request in (
            _GET.format("/api/x", marked, ""),
            _GET.format("/public/x", marked, ""),
            _GET.format("/public/x", marked, chunks) + trailers,
            _GET.format("/public/x", marked, "Connection: Upgrade\r\nUpgrade: websocket\r\n"),
        ):
            with connect(laid.enforcer.port) as connection:
                connection.sendall(request.encode())
                assert ResponseReader(connection).next()[0] == 200
        seen = b"".join(head + body for head, body in laid.upstream.requests) + b"".join(laid.upstream.trailers)
        assert len(laid.upstream.requests) == 4
        assert _MARKER.encode() not in seen
