"""Connecting to a server step by step, with real sockets and real TLS."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from harness.certificates import Authority, file_of
from harness.ports import closed_port, silent_address
from harness.servers import raw_server
from harness.upstreams import Incoming, upstream

from enforcer.doctor.connection_probe import ConnectionProbe
from enforcer.doctor.diagnosis import Finding, Verdict
from enforcer.doctor.recorder import outcome_of
from enforcer.errors import IntrospectionError, UpstreamError
from enforcer.server.requests import make_endpoint
from enforcer.settings.connections.addresses import parse_server
from enforcer.settings.connections.pool import PoolSettings
from enforcer.settings.connections.tls import ClientTLS
from enforcer.tokens.introspection.endpoint import KnownEndpoint
from enforcer.wire.http_client import HttpClient, HttpResponse
from enforcer.wire.pool import Pool
from enforcer.wire.ticker import Ticker

TIMEOUT = 5.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def connect(url: str, tls: ClientTLS | None = None, timeout: float = TIMEOUT) -> list[Finding]:
    """Return the findings of connecting to a server."""
    return asyncio.run(ConnectionProbe(parse_server(url), tls, timeout).connect())


def get(url: str, tls: ClientTLS | None = None, timeout: float = TIMEOUT) -> HttpResponse | Finding:
    """Return the response to GET /, or why there is none."""

    async def send() -> HttpResponse | Finding:
        loop = asyncio.get_running_loop()
        ticker, location = Ticker(loop), parse_server(url)
        probe = ConnectionProbe(location, tls, TIMEOUT)
        assert verdicts(await probe.connect())["TCP"] == Verdict.RIGHT
        client = HttpClient(
            Pool(make_endpoint(location, tls), PoolSettings(), ticker, loop), timeout=timeout, max_body=1000
        )
        try:
            result = await outcome_of(KnownEndpoint(client, location.authority, "/").get)
            assert not isinstance(result, IntrospectionError)
            return await probe.explain(result, timeout) if isinstance(result, UpstreamError) else result
        finally:
            client.pool.abort()
            ticker.stop()

    return asyncio.run(send())


@contextmanager
def silent() -> Iterator[int]:
    """Listen on a port without ever accepting a connection; yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def verdicts(findings: list[Finding]) -> dict[str, Verdict]:
    """Return the result of each step."""
    return {finding.what: finding.verdict for finding in findings}


# Name, TCP


def test_a_name_is_resolved_first() -> None:
    """An address is not."""
    with raw_server(lambda _head, _body: None) as server:
        assert verdicts(connect(f"http://localhost:{server.port}")) == {"name": Verdict.RIGHT, "TCP": Verdict.RIGHT}
        assert verdicts(connect(f"http://127.0.0.1:{server.port}")) == {"TCP": Verdict.RIGHT}


@pytest.mark.parametrize("host", ["name.invalid", "a" * 64 + ".example"])
def test_a_name_that_cannot_be_resolved_is_the_last_finding(host: str) -> None:
    """`invalid` has no names (RFC 6761 §6.4); a label of 64 characters is not valid in DNS."""
    (finding,) = connect(f"http://{host}")
    assert (finding.what, finding.verdict) == ("name", Verdict.WRONG)
    assert finding.found.startswith(f"{host} cannot be resolved: ")


def test_a_closed_port_is_the_last_finding() -> None:
    """The finding names the address that was tried."""
    with closed_port() as port:
        (finding,) = connect(f"http://127.0.0.1:{port}")
    assert (finding.what, finding.verdict) == ("TCP", Verdict.WRONG)
    assert finding.found == f"127.0.0.1:{port}: connection refused"


@pytest.mark.parametrize(
    ("dead", "details"), [("127.0.0.2", "connection refused"), ("127.0.0.3", "no response within 0.5 s")]
)
def test_each_address_of_a_name_is_tried_and_a_dead_one_named(dead: str, details: str) -> None:
    """It is a warning, because connections use the others; without another one the step fails."""

    async def probe(*addresses: str) -> list[Finding]:
        async def look_up(host: str) -> list[str]:
            return list(addresses)

        location = parse_server(f"http://app.example:{server.port}")
        return (await ConnectionProbe(location, None, 0.5, look_up).connect())[1:]

    with raw_server(lambda _head, _body: None) as server, silent_address("127.0.0.3", server.port):
        accepting, warned = asyncio.run(probe(dead, "127.0.0.1"))
        (wrong,) = asyncio.run(probe(dead))
    assert (accepting.verdict, warned.verdict, wrong.verdict) == (Verdict.RIGHT, Verdict.WARNING, Verdict.WRONG)
    assert accepting.found.startswith(f"127.0.0.1:{server.port} connects in ")
    assert warned.found == wrong.found == f"{dead}:{server.port}: {details}"
    assert "250 ms" in warned.advice


def test_a_socket_is_tried_by_its_path(tmp_path: Path) -> None:
    """Path of a Unix socket. The path is short, because the system limits it to 108 bytes."""
    path = tmp_path / "app.sock"
    (finding,) = connect(f"unix:{path}")
    assert (finding.what, finding.verdict, finding.found) == ("socket", Verdict.WRONG, "no such file or directory")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        assert verdicts(connect(f"unix:{path}")) == {"socket": Verdict.RIGHT}


# TLS


@contextmanager
def secure(
    authority: Authority, name: str, expires: datetime | None = None, *, require_client_certificate: bool = False
) -> Iterator[str]:
    """Run a server with a certificate for `name`; yields its URL, which has an address as host."""
    context = authority.server_context(name, require_client_certificate=require_client_certificate)
    if expires is not None:
        context.load_cert_chain(*authority.issue(name, expires))
    with upstream(tls=context) as server:
        yield server.url


def test_a_certificate_of_a_trusted_authority_for_the_right_name_is_accepted(authority: Authority) -> None:
    """The name is that of `server_name`. A certificate that expires within a day gets a warning."""
    with secure(authority, "app.example") as url:
        *_, finding = connect(url, ClientTLS(ca=file_of(authority.ca), server_name="app.example"))
    assert (finding.what, finding.verdict, finding.advice) == ("TLS", Verdict.WARNING, "renew it")
    assert finding.found == "TLSv1.3, the certificate is valid for app.example and expires in 0 days"


def test_a_certificate_of_an_unknown_authority_is_wrong(authority: Authority) -> None:
    """The test authority is not one of the system's."""
    with secure(authority, "127.0.0.1") as url:
        *_, finding = connect(url)
    assert (finding.what, finding.verdict) == ("TLS", Verdict.WRONG)
    assert finding.found.startswith("the certificate is not trusted: the authority")
    assert finding.advice.startswith("set tls.ca ")


@pytest.mark.parametrize("server_name", [None, "other.example"])
def test_a_certificate_for_another_name_is_wrong(authority: Authority, server_name: str | None) -> None:
    """The name comes from the URL or from `server_name`."""
    with secure(authority, "app.example") as url:
        *_, finding = connect(url, ClientTLS(ca=file_of(authority.ca), server_name=server_name))
    assert (finding.what, finding.verdict) == ("TLS", Verdict.WRONG)
    assert finding.found.startswith("the certificate is for another ")


def test_an_expired_certificate_is_wrong(authority: Authority) -> None:
    """Also if its authority is trusted."""
    with secure(authority, "127.0.0.1", datetime.now(UTC) - timedelta(minutes=1)) as url:
        *_, finding = connect(url, ClientTLS(ca=file_of(authority.ca)))
    assert (finding.what, finding.verdict, finding.found) == ("TLS", Verdict.WRONG, "the certificate has expired")


def test_a_server_without_tls_is_distinguished_from_a_bad_certificate() -> None:
    """It responds to the handshake with plain HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:

        def respond() -> None:
            for _ in range(2):  # TCP is tried before TLS
                with listener.accept()[0] as connection:
                    if connection.recv(4096):
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

        pool.submit(respond)
        *_, finding = connect(f"https://127.0.0.1:{listener.getsockname()[1]}")
    assert (finding.what, finding.verdict) == ("TLS", Verdict.WRONG)
    assert finding.found == "the server does not speak TLS on this port"


def test_a_missing_client_certificate_is_reported(authority: Authority) -> None:
    """With TLS 1.3 the server's alert comes only after our side of the handshake is complete."""
    with secure(authority, "127.0.0.1", require_client_certificate=True) as url:
        finding = get(url, ClientTLS(ca=file_of(authority.ca)))
        certificate, key = authority.issue("enforcer")
        reply = get(url, ClientTLS(ca=file_of(authority.ca), certificate=file_of(certificate), key=file_of(key)))
    assert isinstance(finding, Finding)
    assert (finding.what, finding.verdict) == ("TLS", Verdict.WRONG)
    assert "set tls.certificate and tls.key" in finding.advice
    assert isinstance(reply, HttpResponse)


def test_a_silent_server_times_out(authority: Authority) -> None:
    """The finding names the step that timed out."""
    with silent() as port:
        *_, finding = connect(f"https://127.0.0.1:{port}", ClientTLS(ca=file_of(authority.ca)), timeout=0.2)
    assert (finding.what, finding.verdict, finding.found) == ("TLS", Verdict.WRONG, "no response within 0.2 s")


# HTTP


@pytest.mark.parametrize(
    ("sent", "details"),
    [
        pytest.param(
            b"220 mail.example ESMTP\r\n\r\n",
            "the response is not one of HTTP/1.1: Expected HTTP/, RTSP/ or ICE/",
            id="another protocol",
        ),
        pytest.param(None, "the connection was closed before the response was complete", id="nothing"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "no complete response within 0.3 s", id="half"
        ),
    ],
)
def test_an_incomplete_response_is_wrong(sent: bytes | None, details: str) -> None:
    """The probe waits for the complete response until the timeout."""
    with raw_server(lambda _head, _body: sent) as server:
        finding = get(f"http://127.0.0.1:{server.port}", timeout=0.3)
    assert isinstance(finding, Finding)
    assert (finding.what, finding.verdict, finding.found) == ("HTTP", Verdict.WRONG, details)


def test_tls_at_a_url_of_plain_http_is_named(authority: Authority) -> None:
    """Servers respond to plain HTTP with 400, with an alert of TLS, or by closing the connection."""
    with secure(authority, "127.0.0.1") as url:
        finding = get(url.replace("https://", "http://"))
    assert isinstance(finding, Finding)
    assert (finding.verdict, finding.found) == (Verdict.WRONG, "the server speaks TLS on this port")


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The enforcer does not use one either."""
    with closed_port() as port, upstream(Incoming.respond) as app:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        assert isinstance(get(app.url), HttpResponse)
