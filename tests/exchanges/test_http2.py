"""HTTP/2 towards clients, with programs that are not ours: curl, httpx, and the conformance tests of h2spec."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest
from harness.certificates import Authority
from harness.configs import TOKEN, config
from harness.processes import Enforcer, enforcer
from harness.servers import Server
from harness.upstreams import Incoming, Upstream, upstream
from harness.waiting import TIMEOUT

LARGE = bytes(range(256)) * 8192
CURL, H2SPEC = shutil.which("curl"), shutil.which("h2spec")
H2C = "--http2-prior-knowledge"

needs_curl = pytest.mark.skipif(CURL is None, reason="curl is not installed")


def curl(*options: str, sent: bytes = b"") -> str:
    """Return the standard output of curl, whose exit code is 0."""
    command = [CURL or "", "--silent", "--show-error", "--max-time", f"{TIMEOUT:g}", *options]
    run = subprocess.run(command, input=sent, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.decode("latin-1")


@pytest.fixture(scope="module")
def secure(
    tmp_path_factory: pytest.TempPathFactory, authorization_server: Server
) -> Iterator[tuple[Enforcer, Upstream, ssl.SSLContext]]:
    """An enforcer that speaks TLS, its app, and what a client verifies it with."""
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    certificate, key = authority.issue("localhost")
    tls = {"certificate": str(certificate), "key": str(key)}
    with upstream() as app, enforcer(config(app.url, authorization_server.port, listener={"tls": tls})) as process:
        yield process, app, authority.client_context()


@needs_curl
def test_curl_speaks_http2_on_plain_text(proxy: Enforcer, app: Upstream) -> None:
    """With prior knowledge: a refusal, and a request with a token."""
    url = f"http://127.0.0.1:{proxy.port}/thing"
    refused = curl(H2C, "--include", url)
    assert refused.startswith("HTTP/2 401")
    assert "www-authenticate: Bearer" in refused
    assert curl(H2C, "--oauth2-bearer", TOKEN, "--write-out", "%{http_version} %{http_code}", url).endswith("2 200")
    hosts = [value for request in app.requests for name, value in request.headers if name.lower() == b"host"]
    assert hosts == [f"127.0.0.1:{proxy.port}".encode()]


@needs_curl
def test_a_large_body_passes_both_ways_at_once(proxy: Enforcer, app: Upstream, tmp_path: Path) -> None:
    """Streamed by the app: neither side holds the whole of it."""

    def handler(incoming: Incoming) -> None:
        incoming.send_head()
        for piece in incoming.pieces():
            incoming.send(piece)
        incoming.end()

    app.handler = handler
    sent, received = tmp_path / "sent", tmp_path / "received"
    sent.write_bytes(LARGE)
    url = f"http://127.0.0.1:{proxy.port}/public/echo"
    curl(H2C, "--upload-file", str(sent), "--output", str(received), url)
    assert received.read_bytes() == LARGE


def test_httpx_negotiates_http2_with_tls(secure: tuple[Enforcer, Upstream, ssl.SSLContext]) -> None:
    """ALPN; many requests at once on one connection, each with its own response."""
    process, app, context = secure
    context.set_alpn_protocols(["h2", "http/1.1"])
    app.handler = lambda incoming: incoming.respond(incoming.request.target)

    async def script() -> None:
        # Not threads: the library's synchronous client lets the frames of two threads overtake each other.
        url = f"https://localhost:{process.port}"
        async with httpx.AsyncClient(http1=False, http2=True, verify=context, base_url=url, timeout=TIMEOUT) as client:
            responses = await asyncio.gather(*(client.get(f"/public/{number}") for number in range(20)))
            assert [response.text for response in responses] == [f"/public/{number}" for number in range(20)]
            assert {response.http_version for response in responses} == {"HTTP/2"}
            assert (await client.post("/public/echo", content=LARGE)).status_code == 200

    asyncio.run(script())


def test_a_client_may_still_choose_http1(secure: tuple[Enforcer, Upstream, ssl.SSLContext]) -> None:
    """It is offered beside HTTP/2."""
    process, _, context = secure
    context.set_alpn_protocols(["http/1.1"])
    with httpx.Client(verify=context, base_url=f"https://localhost:{process.port}") as client:
        assert client.get("/thing").http_version == "HTTP/1.1"


@pytest.mark.skipif(H2SPEC is None, reason="h2spec is not installed: go install …/h2spec/cmd/h2spec@latest")
def test_the_listener_conforms(secure: tuple[Enforcer, Upstream, ssl.SSLContext]) -> None:
    """The tests of RFC 7540 and RFC 7541, with TLS; the app responds late, so that requests are under way at once."""
    process, app, _ = secure
    late = threading.Event()

    def handler(incoming: Incoming) -> None:
        for _ in incoming.pieces():
            pass
        late.wait(0.2)
        incoming.respond(b"body")

    app.handler = handler
    options: Sequence[str] = ("-t", "-k", "-o", "5", "-h", "localhost", "-p", str(process.port), "-P", "/public/x")
    run = subprocess.run([H2SPEC or "", *options], capture_output=True, text=True, check=False, timeout=300)
    assert " 0 failed" in run.stdout, run.stdout.partition("Failures:")[2]
