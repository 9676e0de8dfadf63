"""The way to a server, and where it ends: real sockets, real TLS."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from harness.certificates import Authority
from harness.servers import raw_server, response
from harness.upstreams import Incoming, upstream

from enforcer.doctor.connection_probe import ConnectionProbe
from enforcer.doctor.diagnosis import Finding, Seen, Verdict
from enforcer.settings.addresses import parse_server
from enforcer.settings.tls import ClientTLS

PATIENCE = 5.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def reach(url: str, tls: ClientTLS | None = None, patience: float = PATIENCE) -> list[Finding]:
    """Try the way to a server."""
    return asyncio.run(ConnectionProbe(parse_server(url), tls, patience).reach())


def ask(url: str, tls: ClientTLS | None = None, patience: float = PATIENCE, most: int = 1000) -> Seen | Finding:
    """Ask a server for /."""

    async def ask() -> Seen | Finding:
        way = ConnectionProbe(parse_server(url), tls, PATIENCE)
        assert whole(await way.reach())["TCP"] == Verdict.RIGHT
        async with way.client() as client:
            return await way.ask(client, "GET", url + "/", patience=patience, most=most)

    return asyncio.run(ask())


@contextmanager
def silent() -> Iterator[int]:
    """Listen on a port, and never say a word; gives the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def closed() -> int:
    """Return a port on which nobody listens."""
    with silent() as port:
        return port


def whole(findings: list[Finding]) -> dict[str, Verdict]:
    """Return the steps and what became of each."""
    return {finding.what: finding.verdict for finding in findings}


# Name, TCP


def test_the_way_to_a_server_by_name_has_a_step_more() -> None:
    """An address needs no resolving."""
    with raw_server(lambda _head, _body: None) as server:
        assert whole(reach(f"http://localhost:{server.port}")) == {"name": Verdict.RIGHT, "TCP": Verdict.RIGHT}
        assert whole(reach(f"http://127.0.0.1:{server.port}")) == {"TCP": Verdict.RIGHT}


@pytest.mark.parametrize("host", ["name.invalid", "a" * 64 + ".example"])
def test_a_name_that_cannot_be_resolved_ends_the_way(host: str) -> None:
    """RFC 6761 §6.4 keeps `invalid` free of names; a label of 64 characters cannot be asked about at all."""
    (finding,) = reach(f"http://{host}")
    assert (finding.what, finding.verdict) == ("name", Verdict.WRONG)
    assert finding.found.startswith(f"{host} cannot be resolved: ")


def test_a_closed_port_ends_the_way() -> None:
    """It says the address that was tried."""
    port = closed()
    (finding,) = reach(f"http://127.0.0.1:{port}")
    assert (finding.what, finding.verdict) == ("TCP", Verdict.WRONG)
    assert finding.found == f"127.0.0.1:{port}: connection refused"


def test_a_socket_is_tried_by_its_path(tmp_path: Path) -> None:
    """Short paths alone: a socket's has 108 bytes at most."""
    path = tmp_path / "app.sock"
    (finding,) = reach(f"unix:{path}")
    assert (finding.what, finding.verdict, finding.found) == ("socket", Verdict.WRONG, "no such file or directory")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        assert whole(reach(f"unix:{path}")) == {"socket": Verdict.RIGHT}


# TLS


@contextmanager
def secure(
    authority: Authority, name: str, ends: datetime | None = None, *, asks_client: bool = False
) -> Iterator[str]:
    """Run a server with a certificate for `name`; gives its URL, which has an address."""
    context = authority.server_context(name, require_client_certificate=asks_client)
    if ends is not None:
        context.load_cert_chain(*authority.issue(name, ends))
    with upstream(tls=context) as server:
        yield server.url


def test_a_certificate_of_a_trusted_authority_for_the_right_name_is_good(authority: Authority) -> None:
    """It is asked for by `server_name`; how long it lasts is said, and a day is little."""
    with secure(authority, "app.example") as url:
        *_, finding = reach(url, ClientTLS(ca=authority.ca, server_name="app.example"))
    assert (finding.what, finding.verdict, finding.advice) == ("TLS", Verdict.WARNING, "renew it")
    assert finding.found == "TLSv1.3, the certificate is good for app.example and ends in 0 days"


def test_a_certificate_of_an_unknown_authority_is_wrong(authority: Authority) -> None:
    """The system's authorities do not know ours."""
    with secure(authority, "127.0.0.1") as url:
        *_, finding = reach(url)
    assert (finding.what, finding.verdict) == ("TLS", Verdict.WRONG)
    assert finding.found.startswith("the certificate is not trusted: the authority")
    assert finding.advice.startswith("set tls.ca ")


@pytest.mark.parametrize("server_name", [None, "other.example"])
def test_a_certificate_for_another_name_is_wrong(authority: Authority, server_name: str | None) -> None:
    """Whether the URL or the setting says what it should be."""
    with secure(authority, "app.example") as url:
        *_, finding = reach(url, ClientTLS(ca=authority.ca, server_name=server_name))
    assert (finding.what, finding.verdict) == ("TLS", Verdict.WRONG)
    assert finding.found.startswith("the certificate is for another ")


def test_a_certificate_that_has_ended_is_wrong(authority: Authority) -> None:
    """However well it is signed."""
    with secure(authority, "127.0.0.1", datetime.now(UTC) - timedelta(minutes=1)) as url:
        *_, finding = reach(url, ClientTLS(ca=authority.ca))
    assert (finding.what, finding.verdict, finding.found) == ("TLS", Verdict.WRONG, "the certificate has expired")


def test_a_server_without_tls_is_told_from_a_bad_certificate() -> None:
    """A plain server answers the handshake with what is no TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:

        def answer() -> None:
            for _ in range(2):  # TCP is tried before TLS
                with listener.accept()[0] as connection:
                    if connection.recv(4096):
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

        pool.submit(answer)
        *_, finding = reach(f"https://127.0.0.1:{listener.getsockname()[1]}")
    assert (finding.what, finding.verdict) == ("TLS", Verdict.WRONG)
    assert finding.found == "the server does not speak TLS on this port"


def test_a_server_that_wants_a_certificate_of_ours_is_understood(authority: Authority) -> None:
    """TLS 1.3 says so only when the handshake is over for us."""
    with secure(authority, "127.0.0.1", asks_client=True) as url:
        finding = ask(url, ClientTLS(ca=authority.ca))
        certificate, key = authority.issue("enforcer")
        answer = ask(url, ClientTLS(ca=authority.ca, certificate=certificate, key=key))
    assert isinstance(finding, Finding)
    assert (finding.what, finding.verdict) == ("TLS", Verdict.WRONG)
    assert "set tls.certificate and tls.key" in finding.advice
    assert isinstance(answer, Seen)


def test_a_server_that_is_silent_is_not_waited_for(authority: Authority) -> None:
    """The step that has no end within its time is the one that is named."""
    with silent() as port:
        *_, finding = reach(f"https://127.0.0.1:{port}", ClientTLS(ca=authority.ca), patience=0.2)
    assert (finding.what, finding.verdict, finding.found) == ("TLS", Verdict.WRONG, "no answer within 0.2 s")


# HTTP


def test_an_answer_is_seen_with_its_fields_and_times() -> None:
    """A redirect, too, is an answer, and nobody is asked where it points."""
    with raw_server(lambda _head, _body: response(b"Moved", "302 Found", "Location: /elsewhere")) as server:
        answer = ask(f"http://127.0.0.1:{server.port}")
        assert len(server.requests) == 1
    assert isinstance(answer, Seen)
    assert (answer.status, answer.fields["location"], answer.body) == (302, "/elsewhere", b"Moved")
    assert 0 < answer.received - answer.sent < PATIENCE


def test_an_answer_is_read_up_to_a_size() -> None:
    """What it was cut at is enough to judge it."""
    with raw_server(lambda _head, _body: response(b"x" * 100_000)) as server:
        answer = ask(f"http://127.0.0.1:{server.port}", most=10)
    assert isinstance(answer, Seen)
    assert answer.cut
    assert len(answer.body) < 100_000


@pytest.mark.parametrize(
    ("said", "found"),
    [
        pytest.param(
            b"220 mail.example ESMTP\r\n\r\n", "the server does not answer in HTTP/1.1", id="another protocol"
        ),
        pytest.param(None, "the server does not answer in HTTP/1.1", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "no whole answer within 0.3 s", id="half"),
    ],
)
def test_what_is_no_whole_answer_is_wrong(said: bytes | None, found: str) -> None:
    """All of it is waited for, and no longer than is allowed."""
    with raw_server(lambda _head, _body: said) as server:
        finding = ask(f"http://127.0.0.1:{server.port}", patience=0.3)
    assert isinstance(finding, Finding)
    assert (finding.what, finding.verdict, finding.found) == ("HTTP", Verdict.WRONG, found)


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The enforcer uses none."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed()}")
    with upstream(Incoming.respond) as app:
        assert isinstance(ask(app.url), Seen)
