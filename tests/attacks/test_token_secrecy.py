"""Token secrecy: whatever happens to a request, only the app and the authorization server see its token."""

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
from harness.waiting import TIMEOUT

_MARKER = "MARKER-0xC0FFEE"
_GET = "GET {} HTTP/1.1\r\nHost: app\r\nAuthorization: Bearer {}\r\n{}\r\n"


def _introspect(head: bytes, body: bytes) -> bytes | None:
    """Respond as the token says; failing responses repeat the token wherever they can."""
    token = unquote(body.decode().partition("token=")[2].partition("&")[0])
    return {
        "good": response(b'{"active": true, "scope": "read", "sub": "someone"}'),
        "expired": response(b'{"active": true, "scope": "read", "exp": 1}'),
        "bound": response(b'{"active": true, "scope": "read", "cnf": {"jkt": "x"}}'),
        "garbage": token.encode(),
        "field": f"HTTP/1.1 200 {token}\r\n{token}: \x00{token}\r\n\r\n".encode(),
        "html": response(token.encode()),
        "members": response(json.dumps({"active": token, token: token}).encode()),
        "time": response(json.dumps({"active": True, "exp": token, "scope": token}).encode()),
        "refused": response(token.encode(), f"401 {token}", f"WWW-Authenticate: {token}"),
        "redirect": response(token.encode(), f"302 {token}", f"Location: http://127.0.0.1:1/{token}"),
        "broken": response(token.encode(), f"500 {token}"),
        "switching": f"HTTP/1.1 101 {token}\r\nConnection: Upgrade\r\nUpgrade: {token}\r\n\r\n".encode(),
        "gone": None,
    }.get(token.rpartition(".")[2], response(b'{"active": false}'))


def _app(head: bytes, body: bytes) -> bytes | None:
    """Respond as the path says; failing responses repeat the token wherever they can."""
    token = head.partition(b"Bearer ")[2].partition(b"\r\n")[0]
    path = head.split(b" ")[1]
    if path == b"/api/garbage":
        return token
    if path == b"/api/field":
        return b"HTTP/1.1 200 %b\r\n%b: \x00%b\r\n\r\n" % (token, token, token)
    if path == b"/api/chunk":
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%b\r\n%b" % (token, token)
    if path == b"/api/gone":
        return None
    return echo(head, body)


def _requests() -> list[str]:
    suffixes = [
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
        *(_GET.format("/api/x", marked + suffix, "") for suffix in suffixes),
        *(_GET.format(f"/api/{path}", good, "") for path in ("garbage", "field", "chunk", "gone")),
        _GET.format("/admin", good, ""),
        _GET.format("/nothing", good, ""),
        *(
            _GET.format("/api/x", marked + suffix, f"DPoP: {proof}\r\nClient-Cert: :{marked}:\r\n").replace(
                "Bearer", scheme
            )
            for suffix in ("good", "bound", "unknown", "gone")
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
        f"GET http://user:{good}@app/api/x HTTP/1.1\r\nHost: app\r\n\r\n",
        f"GET ftp://{good}/api/x HTTP/1.1\r\nHost: app\r\n\r\n",
        f"GET urn:{good} HTTP/1.1\r\nHost: app\r\n\r\n",
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
        _GET.format(f"/admin/{good}".replace("M", "%254d"), good, ""),
        _GET.format(f"/admin//{good}".replace("M", "%4d"), good, ""),
        _GET.format(f"/admin/{_MARKER}", good, ""),
    ]


def _responses(testbed: Testbed) -> list[bytes]:
    """Send every request, and return the enforcer's own responses."""
    messages = []
    for request in _requests():
        with connect(testbed.enforcer.port) as connection:
            connection.sendall(request.encode("latin-1"))
            try:
                status, head, body = ResponseReader(connection).next()
            except EOFError:
                continue
            if status != 200:
                messages.append(head + body)
    return messages


def _admin_responses(testbed: Testbed, refusals: list[bytes]) -> list[bytes]:
    """Request everything that the admin server has, also about these refusals, and return the responses."""
    messages = []
    ids = re.findall(rb"X-Request-Id: ([^\s{]+)", b"".join(refusals))
    assert len(ids) > 30
    purge = json.dumps({"token": _MARKER + ".good"})
    odd = f'{{"token": "{_MARKER}\\ud800"}}'
    for method, path, body in (
        ("GET", "/metrics", None), ("GET", "/livez", None), ("GET", "/readyz", None), ("GET", f"/{_MARKER}", None),
        ("POST", "/cache/purge", purge), ("POST", "/cache/purge", odd), ("POST", "/cache/purge", _MARKER),
        ("GET", f"/decisions/{_MARKER}", None),
        *(("GET", f"/decisions/{request_id.decode()}", None) for request_id in ids),
    ):  # fmt: skip
        connection = http.client.HTTPConnection("127.0.0.1", testbed.enforcer.admin_port, timeout=TIMEOUT)
        connection.request(method, path, body, {"Authorization": "Bearer operator"})
        admin_response = connection.getresponse()
        messages.append(str(admin_response.headers).encode() + admin_response.read())
        connection.close()
    return messages


@pytest.mark.parametrize("style", ["text", "json"])
def test_token_is_never_disclosed(style: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No response of the enforcer's own, no metric, no admin response and no log line has a token or a secret.

    Unlike in CVE-2022-23469, also at log level debug.
    """
    monkeypatch.setenv("ADMIN_CREDENTIAL", "operator")
    log = {"level": "debug", "format": style, "decisions": "all"}
    with run_testbed(_app, _introspect, log=log, admin={"credential": {"env": "ADMIN_CREDENTIAL"}}) as testbed:
        refusals = _responses(testbed)
        admin = _admin_responses(testbed, refusals)
        forwarded = b"".join(head for head, _ in testbed.upstream.requests)
        assert testbed.enforcer.stop() == 0
        assert testbed.enforcer.process.stderr is not None
        log_lines = "".join(testbed.enforcer.lines) + testbed.enforcer.process.stderr.read()
    assert len(refusals) > 40
    assert b"enforcer_requests_total" in b"".join(admin)
    assert b'"reason":"insufficient_scope"' in b"".join(admin)
    assert b"Internal Server Error" not in b"".join(admin)
    assert '"reason": "insufficient_scope"' in log_lines
    assert _MARKER.encode() in forwarded
    basic = base64.b64encode(f"enforcer:{SECRET}".encode()).decode()
    for secret in (_MARKER, _MARKER[7:], SECRET, basic):
        assert secret.encode() not in b"".join(refusals)
        assert secret.encode() not in b"".join(admin)
        assert secret not in log_lines
        assert secret == _MARKER or secret == _MARKER[7:] or secret.encode() not in forwarded
    assert "a token cannot be verified" in log_lines


def test_removed_token_does_not_reach_the_app() -> None:
    """With `forwarding.authorization: remove`, the app gets the token in no field and no trailer."""
    with run_testbed(forwarding={"authorization": "remove"}) as testbed:
        marked = f"R~{_MARKER}"
        chunks = "Transfer-Encoding: chunked\r\nConnection: Authorization\r\n"
        trailers = f"1\r\na\r\n0\r\nAuthorization: Bearer {marked}\r\nX-Some: y\r\n\r\n"
        for request in (
            _GET.format("/api/x", marked, ""),
            _GET.format("/public/x", marked, ""),
            _GET.format("/public/x", marked, chunks) + trailers,
            _GET.format("/public/x", marked, "Connection: Upgrade\r\nUpgrade: websocket\r\n"),
        ):
            with connect(testbed.enforcer.port) as connection:
                connection.sendall(request.encode())
                assert ResponseReader(connection).next()[0] == 200
        received = b"".join(head + body for head, body in testbed.upstream.requests) + b"".join(
            testbed.upstream.trailers
        )
        assert len(testbed.upstream.requests) == 4
        assert _MARKER.encode() not in received
