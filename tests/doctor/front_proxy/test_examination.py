"""The examination of a front proxy, with one that is right, and with several that are not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from harness.configs import config
from harness.ports import unused_ports

from enforcer.config.load import load
from enforcer.doctor.diagnosis import Finding, Verdict
from enforcer.doctor.examination import Report
from enforcer.doctor.front_proxy.examination import examine_front_proxy

Fields = list[tuple[str, str]]


@dataclass
class FrontProxy:
    """A proxy in the manner of nginx: asks about each request, and forwards it on a new connection.

    `rewrite` changes the target that it forwards, `passes` decides by the status of the answer, `hides` names fields of
    the answer that no client gets, `asks_without` fields of the client that are not in the question; `forged`: the
    client's own fields come before those of the question.
    """

    decision: int
    app: int
    rewrite: Callable[[str], str] = str
    passes: Callable[[int], bool] = lambda status: status == 200
    hides: tuple[str, ...] = ()
    forged: bool = False
    removed: tuple[str, ...] = ("x-auth-subject", "x-auth-client", "x-auth-scope")
    asks_without: tuple[str, ...] = ()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one request."""
        line, fields = await _read_head(reader)
        method, target, _ = line.split(" ")
        client = [] if not self.forged else [each for each in fields if each[0].lower().startswith("x-original-")]
        own = [("X-Original-Method", method), ("X-Original-URI", target), ("X-Forwarded-For", "127.0.0.1")]
        own = [each for each in own if each[0].lower() not in {name.lower() for name, _ in client}]
        passed = [each for each in fields if not each[0].lower().startswith(("x-original-", "x-forwarded-"))]
        asked = [each for each in passed if each[0].lower() not in self.asks_without]
        status, answer, _ = await _exchange(self.decision, "GET /decide HTTP/1.1", [*asked, *client, *own])
        body = b""
        if self.passes(status):
            sent = [each for each in passed if each[0].lower().replace("_", "-") not in self.removed]
            status, answer, body = await _exchange(self.app, f"{method} {self.rewrite(target)} HTTP/1.1", sent)
        shown = [each for each in answer if each[0].lower() in ("www-authenticate", "retry-after")]
        shown = [each for each in shown if each[0].lower() not in self.hides]
        lines = [f"HTTP/1.1 {status or 502} Status", *(f"{name}: {value}" for name, value in shown)]
        writer.write("\r\n".join([*lines, f"Content-Length: {len(body)}", "Connection: close", "", ""]).encode() + body)
        await writer.drain()
        writer.close()


async def _read_head(reader: asyncio.StreamReader) -> tuple[str, Fields]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *lines = head.strip().split("\r\n")
    return line, [(name, value) for name, _, value in (each.partition(": ") for each in lines)]


async def _exchange(port: int, line: str, fields: Fields) -> tuple[int, Fields, bytes]:
    """Send a request on a new connection; the status is 0 if it ends without a response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [line, *(f"{name}: {value}" for name, value in fields), "Connection: close", "", ""]
    writer.write("\r\n".join(lines).encode("latin-1"))
    try:
        status, answer = await _read_head(reader)
        return int(status.split(" ")[1]), answer, await reader.read()
    except (asyncio.IncompleteReadError, ConnectionError):
        return 0, [], b""
    finally:
        writer.close()


def examine(folder: Path, trusted: str = "127.0.0.1", **faults: Any) -> Report:
    """Examine a front proxy with these faults."""
    decision, app = unused_ports(2)
    listener = {"address": f"127.0.0.1:{decision}", "contract": "nginx", "trusted_proxies": [trusted]}
    path = folder / "config.yaml"
    path.write_text(config("", 1, upstream=None, decision=[listener]))
    loaded = load(path, {"ENFORCER_CLIENT_SECRET": "secret"})

    async def script() -> Report:
        proxy = FrontProxy(decision, app, **faults)
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            return await examine_front_proxy(loaded.config, f"http://127.0.0.1:{port}/api", f"127.0.0.1:{app}")
        finally:
            server.close()

    return uvloop.run(script())


def findings(report: Report) -> dict[str, Finding]:
    return {finding.what: finding for finding in report.findings}


def faults(report: Report) -> dict[str, Verdict]:
    return {each.what: each.verdict for each in report.findings if each.verdict is not Verdict.RIGHT}


def test_a_right_front_proxy_has_no_fault(tmp_path: Path) -> None:
    """Each kind of probe is a line."""
    report = examine(tmp_path)
    assert faults(report) == {}
    assert [finding.what for finding in report.findings] == [
        *("question", "paths", "forged fields", "other targets", "without a token", "outage", "no answer")
    ]


def test_a_rewritten_path_is_found(tmp_path: Path) -> None:
    """With an example, and what to change."""
    report = examine(tmp_path, rewrite=lambda target: target.replace("//", "/"))
    assert faults(report) == {"rewritten after the question": Verdict.WRONG}
    finding = findings(report)["rewritten after the question"]
    assert "/api//one/two as /api/one/two" in finding.found
    assert "proxy_pass" in finding.advice


def test_a_stripped_prefix_is_found_at_every_path(tmp_path: Path) -> None:
    """Rules are written for one of the two paths, and the other one is forwarded."""
    report = examine(tmp_path, rewrite=lambda target: target.removeprefix("/api"))
    assert findings(report)["paths"].found.startswith("0 forwarded as decided on")


def test_an_ignored_refusal_is_found(tmp_path: Path) -> None:
    """In the manner of HAProxy without its `http-request deny`."""
    report = examine(tmp_path, passes=lambda status: True)
    assert faults(report) == dict.fromkeys(["open", "without a token", "outage", "no answer"], Verdict.WRONG)


def test_an_error_that_opens_is_found(tmp_path: Path) -> None:
    """In the manner of `failure_mode_allow: true`: refusals are respected, and all is open during an outage."""
    report = examine(tmp_path, passes=lambda status: status in (0, 200, 503))
    assert faults(report) == dict.fromkeys(["outage", "no answer"], Verdict.WRONG)


def test_forged_fields_that_have_an_effect_are_found(tmp_path: Path) -> None:
    """Of the question, and of the sender's identity."""
    report = examine(tmp_path, forged=True, removed=("x-auth-client", "x-auth-scope"))
    expected = ["X-Original-URI", "X-Original-Method", "X-Auth-Subject", "x-auth-subject", "X_Auth_Subject"]
    assert faults(report) == dict.fromkeys(expected, Verdict.WRONG)


def test_a_field_that_is_forwarded_and_not_asked_about_is_found(tmp_path: Path) -> None:
    """In the manner of Envoy without it in `allowed_headers`."""
    report = examine(tmp_path, asks_without=("destination", "x-http-method"))
    assert faults(report) == {"other targets": Verdict.WRONG}
    assert "the app gets X-HTTP-Method, Destination," in findings(report)["other targets"].found


def test_a_lost_challenge_is_a_warning(tmp_path: Path) -> None:
    """Clients would not learn how to get a token, or when to come back."""
    report = examine(tmp_path, hides=("www-authenticate", "retry-after"))
    assert faults(report) == dict.fromkeys(["challenge", "outage"], Verdict.WARNING)


def test_a_caller_that_may_not_ask_ends_the_examination(tmp_path: Path) -> None:
    """The conditions on callers are those of the configuration."""
    report = examine(tmp_path, trusted="192.0.2.1")
    assert [finding.what for finding in report.findings] == ["question"]
    assert "may not ask" in report.findings[0].found


def test_a_proxy_that_is_not_there_is_reported(tmp_path: Path) -> None:
    """The URL may be wrong."""
    decision, app, nobody = unused_ports(3)
    listener = {"address": f"127.0.0.1:{decision}", "contract": "nginx", "trusted_proxies": ["127.0.0.1"]}
    path = tmp_path / "config.yaml"
    path.write_text(config("", 1, upstream=None, decision=[listener]))
    loaded = load(path, {"ENFORCER_CLIENT_SECRET": "secret"})
    url = f"http://127.0.0.1:{nobody}"
    report = uvloop.run(examine_front_proxy(loaded.config, url, f"127.0.0.1:{app}"))
    assert report.findings[0].found.startswith("no response of the front proxy: ")
