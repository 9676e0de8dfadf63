"""The doctor's findings at real servers, one for each kind of error."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from harness.certificates import Authority
from harness.configs import config
from harness.servers import Server, introspection_server, raw_server, response
from harness.upstreams import Incoming, upstream

from enforcer.config.load import load
from enforcer.doctor.diagnosis import Finding, Verdict
from enforcer.doctor.examination import Report, examine

SECRET = "service-client-jwt-secret"
UNREACHABLE = {"client_id": "a", "client_secret": {"env": "SECRET"}, "introspection_endpoint": "http://127.0.0.1:1/"}
PAGE = "Content-Type: text/html"


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """The project's own authorization server."""
    command = [sys.executable, "-m", "authserver", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            match = re.search(r"listening on .* as (\S+)$", process.stderr.readline())
            assert match is not None
            yield match[1]
        finally:
            process.kill()


@pytest.fixture
def app() -> Iterator[str]:
    with upstream(Incoming.respond) as server:
        yield server.url


@pytest.fixture
def examined(tmp_path: Path, app: str) -> Callable[..., list[Report]]:
    """Return a function that examines a configuration with one authorization server."""

    def examined(secret: str = SECRET, app: str = app, **settings: Any) -> list[Report]:
        server = {"client_id": "service-client-jwt", "client_secret": {"env": "SECRET"}, **settings}
        path = tmp_path / "config.yaml"
        path.write_text(config(app, 1, authorization_servers=[server]))
        return asyncio.run(examine(load(path, {"SECRET": secret}).config))

    return examined


def by_name(report: Report) -> dict[str, Finding]:
    return {finding.what: finding for finding in report.findings}


def endpoint(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}/introspect"


def test_a_correct_configuration_has_no_errors(issuer: str, examined: Callable[..., list[Report]]) -> None:
    """Every step is listed, those of the authorization server first."""
    server, app = examined(introspection_endpoint=f"{issuer}/oauth2/introspect", issuer=issuer)
    assert {finding.what: finding.verdict for finding in server.findings} == dict.fromkeys(
        ["name", "TCP", "credentials", "clock", "answer time", "metadata"], Verdict.RIGHT
    )
    assert {finding.what: finding.verdict for finding in app.findings} == dict.fromkeys(["TCP", "HTTP"], Verdict.RIGHT)
    assert (server.server, server.right, app.server, app.right) == (
        "authorization server default", True, "upstream", True,
    )  # fmt: skip


def test_a_wrong_secret_is_the_only_error(issuer: str, examined: Callable[..., list[Report]]) -> None:
    """The connection steps pass; the finding does not contain the secret."""
    server, _ = examined("hunter2hunter2", introspection_endpoint=f"{issuer}/oauth2/introspect")
    assert [finding.what for finding in server.findings if finding.verdict is Verdict.WRONG] == ["credentials"]
    assert by_name(server)["credentials"].found == "refused (401, invalid_client) with client_secret_basic"
    assert "hunter2" not in repr(server)


def test_a_client_that_may_not_introspect_is_reported(issuer: str, examined: Callable[..., list[Report]]) -> None:
    """Although its secret is correct."""
    settings = {"client_id": "user-client-opaque", "introspection_endpoint": f"{issuer}/oauth2/introspect"}
    server, _ = examined("user-client-secret", **settings)
    finding = by_name(server)["credentials"]
    assert (finding.verdict, finding.found) == (
        Verdict.WRONG, "refused (403, unauthorized_client) with client_secret_basic",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("ours", "theirs"), [("client_secret_basic", "client_secret_post"), ("client_secret_post", "client_secret_basic")]
)
def test_the_other_way_to_authenticate_is_tried(ours: str, theirs: str, examined: Callable[..., list[Report]]) -> None:
    """A server that accepts only that one refuses as if the secret were wrong."""

    def respond(head: bytes, body: bytes) -> bytes:
        basic, post = b"\r\nAuthorization: Basic " in head, b"client_secret" in parse_qs(body)
        if {"client_secret_basic": basic, "client_secret_post": post}[theirs]:
            return response(b'{"active": false}')
        return response(b'{"error": "invalid_client"}', "401 Unauthorized")

    with raw_server(respond) as auth:
        server, _ = examined(introspection_endpoint=endpoint(auth), client_authentication=ours)
    assert by_name(server)["credentials"].advice == f"set client_authentication: {theirs}, which the server accepts"


def test_the_introspection_request_is_that_of_the_enforcer(examined: Callable[..., list[Report]]) -> None:
    """One request with a made-up token, a different one each time."""
    with introspection_server({}) as auth:
        for _ in range(2):
            examined(introspection_endpoint=endpoint(auth))
        forms = [parse_qs(body.decode()) for _, body in auth.requests]
    assert [sorted(form) for form in forms] == [["token", "token_type_hint"]] * 2
    assert forms[0]["token"] != forms[1]["token"]
    assert forms[0]["token_type_hint"] == ["access_token"]


@pytest.mark.parametrize(
    ("reply", "details"),
    [
        pytest.param(response(b"<html>", "200 OK", PAGE), "the response is a web page", id="page"),
        pytest.param(response(b"", "404 Not Found"), "the server responds with 404", id="not there"),
        pytest.param(response(b'{"active": true}'), "a made-up token is reported as active", id="all active"),
    ],
)
def test_a_wrong_endpoint_is_distinguished_from_wrong_credentials(
    reply: bytes, details: str, examined: Callable[..., list[Report]]
) -> None:
    """The advice is to correct the URL."""
    with raw_server(lambda _head, _body: reply) as auth:
        server, _ = examined(introspection_endpoint=endpoint(auth))
        assert len(auth.requests) == 1
    finding = by_name(server)["credentials"]
    assert (finding.verdict, finding.found) == (Verdict.WRONG, details)
    assert "correct introspection_endpoint" in finding.advice


def test_a_redirect_is_shown_and_not_followed(examined: Callable[..., list[Report]]) -> None:
    """Following it would send our credentials along."""
    with introspection_server({}) as elsewhere:
        moved = response(b"", "308 Permanent Redirect", f"Location: {endpoint(elsewhere)}?secret=1")
        with raw_server(lambda _head, _body: moved) as auth:
            server, _ = examined(introspection_endpoint=endpoint(auth))
        assert elsewhere.requests == []
    finding = by_name(server)["credentials"]
    assert finding.verdict == Verdict.WRONG
    assert finding.found.startswith(f"308: redirected to {endpoint(elsewhere)}, and ")


@pytest.mark.parametrize(("off", "verdict"), [(30, Verdict.WARNING), (3600, Verdict.WRONG), (-3600, Verdict.WRONG)])
def test_a_wrong_clock_is_reported(off: int, verdict: Verdict, examined: Callable[..., list[Report]]) -> None:
    """By the response's Date field."""

    def respond(_head: bytes, _body: bytes) -> bytes:
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=off), usegmt=True)
        return response(b'{"active": false}', "200 OK", f"Date: {date}")

    with raw_server(respond) as auth:
        server, _ = examined(introspection_endpoint=endpoint(auth))
    assert by_name(server)["clock"].verdict == verdict
    assert by_name(server)["credentials"].verdict == Verdict.RIGHT


def test_a_slow_server_times_out(examined: Callable[..., list[Report]]) -> None:
    """The timeout is the setting's; the upstream is examined anyway."""
    with raw_server(lambda _head, _body: b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n") as auth:
        server, app = examined(introspection_endpoint=endpoint(auth), timeout="200ms")
    assert by_name(server)["HTTP"].found == "no complete response within 0.2 s"
    assert (server.right, app.right) == (False, True)


def test_a_server_that_closes_the_connection_for_an_unknown_token_is_wrong(
    examined: Callable[..., list[Report]],
) -> None:
    """It may be fine with tokens that it knows: the advice says what it should do with others."""
    with raw_server(lambda _head, _body: None) as auth:
        server, _ = examined(introspection_endpoint=endpoint(auth))
    finding = by_name(server)["HTTP"]
    assert (finding.verdict, finding.found) == (
        Verdict.WRONG, "the connection was closed before the response was complete",
    )  # fmt: skip
    assert "if it does so only for unknown tokens" in finding.advice


def test_a_server_that_is_down_ends_only_its_own_examination(examined: Callable[..., list[Report]]) -> None:
    """Steps that could not be tried are not listed."""
    server, app = examined(introspection_endpoint="http://127.0.0.1:1/introspect", app="http://127.0.0.1:1")
    assert [finding.what for finding in server.findings] == ["TCP"]
    assert [finding.what for finding in app.findings] == ["TCP"]
    assert (server.right, app.right) == (False, False)


def test_another_issuer_is_wrong(issuer: str, examined: Callable[..., list[Report]]) -> None:
    """With an extra slash in the issuer, every token would be refused."""
    server, _ = examined(introspection_endpoint=f"{issuer}/oauth2/introspect", issuer=issuer + "/")
    finding = by_name(server)["metadata"]
    assert (finding.verdict, finding.found) == (Verdict.WRONG, f"the server's issuer is {issuer}")


@pytest.mark.parametrize(
    ("issuer", "details"),
    [
        pytest.param("countries", "countries is not a URL", id="no URL"),
        pytest.param("http://127.0.0.1:1", "TCP: 127.0.0.1:1: connection refused", id="out of reach"),
        pytest.param("http://127.0.0.1:{port}", "none at http://127.0.0.1:{port}/.well-known/oauth", id="none"),
    ],
)
def test_missing_metadata_is_not_an_error(issuer: str, details: str, examined: Callable[..., list[Report]]) -> None:
    """Many servers publish no metadata; a warning says that it could not be compared."""
    with raw_server(
        lambda head, _: response(b'{"active": false}', "404 No" if head[:3] == b"GET" else "200 OK")
    ) as auth:
        server, _ = examined(introspection_endpoint=endpoint(auth), issuer=issuer.format(port=auth.port))
        finding = by_name(server)["metadata"]
        assert (finding.verdict, server.right) == (Verdict.WARNING, True)
        assert details.format(port=auth.port) in finding.found


def test_an_upstream_that_is_the_enforcer_itself_is_wrong(tmp_path: Path) -> None:
    """By any name of its address; another program of this machine on the same port is not meant."""
    path = tmp_path / "config.yaml"
    with upstream(Incoming.respond) as other:
        addresses = {f":{other.port}": True, f"127.0.0.1:{other.port}": True, f"127.0.0.2:{other.port}": False}
        for address, own in addresses.items():
            url = f"http://localhost:{other.port}"
            path.write_text(config(url, 1, listener={"address": address}, authorization_servers=[UNREACHABLE]))
            _, report = asyncio.run(examine(load(path, {"SECRET": SECRET}).config))
            assert ("address" in by_name(report), report.right) == (own, not own), address


@pytest.mark.parametrize(
    ("protocol", "details", "advice"),
    [
        ("http1", "the app speaks HTTP/2, and does not answer in HTTP/1.1", "set protocol: h2c"),
        ("h2c", "speaks HTTP/2, and resets GET /, as gRPC servers do", ""),
    ],
)
def test_the_protocol_of_a_grpc_app_is_found(protocol: str, details: str, advice: str, tmp_path: Path) -> None:
    """An app that speaks only HTTP/2 is useless behind `http1`, and the finding names the setting."""
    pytest.importorskip("grpc", reason="needs grpcio")
    from harness.grpc_app import grpc_app

    with grpc_app() as (_, port):
        upstream = {"url": f"http://127.0.0.1:{port}", "protocol": protocol}
        path = tmp_path / "config.yaml"
        path.write_text(config("", 1, upstream=upstream, authorization_servers=[UNREACHABLE]))
        _, report = asyncio.run(examine(load(path, {"SECRET": SECRET}).config))
    finding = by_name(report)["HTTP"]
    assert (finding.found, finding.advice, report.right) == (details, advice, protocol == "h2c")


@pytest.mark.parametrize("tls", [False, True])
def test_an_app_without_http2_is_wrong_behind_it(tls: bool, tmp_path: Path) -> None:
    """The finding names the setting too."""
    authority = Authority(tmp_path)
    context = authority.server_context("127.0.0.1") if tls else None
    with upstream(Incoming.respond, tls=context) as app:
        settings: dict[str, Any] = {"url": app.url, "protocol": "h2c"}
        if tls:
            settings |= {"protocol": "h2", "tls": {"ca": str(authority.ca)}}
        path = tmp_path / "config.yaml"
        path.write_text(config("", 1, upstream=settings, authorization_servers=[UNREACHABLE]))
        _, report = asyncio.run(examine(load(path, {"SECRET": SECRET}).config))
    finding = by_name(report)["HTTP"]
    assert (finding.found.startswith("the app does not speak HTTP/2"), finding.advice) == (True, "set protocol: http1")


def test_a_large_page_is_not_read_to_its_end(examined: Callable[..., list[Report]]) -> None:
    """That the app responds is enough."""
    with raw_server(lambda _head, _body: response(b"x" * 100_000)) as app, introspection_server({}) as auth:
        _, report = examined(introspection_endpoint=endpoint(auth), app=f"http://127.0.0.1:{app.port}")
    assert by_name(report)["HTTP"].found == "answers GET / with a large page"


def test_a_response_larger_than_the_limit_names_the_setting(examined: Callable[..., list[Report]]) -> None:
    """The enforcer does not read it either."""
    with introspection_server({}) as auth:
        server, _ = examined(introspection_endpoint=endpoint(auth), max_answer="10B")
    finding = by_name(server)["credentials"]
    assert (finding.found, finding.advice) == (
        "the response is larger than max_answer", "correct introspection_endpoint, or raise max_answer",
    )  # fmt: skip
