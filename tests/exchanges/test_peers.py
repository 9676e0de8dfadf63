"""HTTP/2 with programs on other libraries than ours, if they are installed: nghttp2's, and gRPC for Go.

`apt-get install nghttp2-client`; `go -C tests/peers/grpcpeer install .`, with Go's `bin` in PATH.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness.configs import TOKEN, TOKENS, config
from harness.ports import listens, unused_ports
from harness.processes import Enforcer, enforcer
from harness.servers import introspection_server
from harness.upstreams import Upstream
from harness.waiting import TIMEOUT, eventually

GRPC, NGHTTP, H2LOAD = (shutil.which(name) for name in ("grpcpeer", "nghttp", "h2load"))

needs_nghttp2 = pytest.mark.skipif(None in (NGHTTP, H2LOAD), reason="nghttp2-client is not installed")


def output(*command: str, **environment: str) -> str:
    """Return the standard output of a program, whose exit code is 0."""
    variables = {**os.environ, **environment}
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=2 * TIMEOUT, env=variables)
    assert run.returncode == 0, run.stderr
    return run.stdout


@contextmanager
def grpc_server() -> Iterator[int]:
    """Run the server of gRPC for Go until the block ends; yield its port."""
    port = unused_ports(1)[0]
    with subprocess.Popen([GRPC or "", str(port)]) as process:
        try:
            assert eventually(lambda: listens(port))
            yield port
        finally:
            process.terminate()
            process.wait(TIMEOUT)


@pytest.mark.skipif(GRPC is None, reason="grpcpeer is not installed: go -C tests/peers/grpcpeer install .")
def test_grpc_for_go_sees_no_difference() -> None:
    """Calls of every kind, metadata, trailers, an error, a deadline; and the status of a refusal."""
    with grpc_server() as port, introspection_server(TOKENS) as server:
        straight = output(GRPC or "", URL=f"http://127.0.0.1:{port}", TOKEN=TOKEN)
        upstream = {"url": f"http://127.0.0.1:{port}", "protocol": "h2c"}
        with enforcer(config("", server.port, upstream=upstream)) as process:
            url = f"http://127.0.0.1:{process.port}"
            assert output(GRPC or "", URL=url, TOKEN=TOKEN) == straight
            refused = output(GRPC or "", URL=url, TOKEN="other-token")
    assert straight.startswith('"hello alice" OK ["alice"]')
    assert '"" DeadlineExceeded' in straight
    assert refused.startswith('"" PermissionDenied [] [] ["Bearer error=')


@needs_nghttp2
def test_nghttp_uploads_and_downloads(proxy: Enforcer, app: Upstream, tmp_path: Path) -> None:
    """A body that is many times as large as any window, both ways, with a refusal before it on the same connection."""
    app.handler = lambda incoming: incoming.respond(incoming.body())
    sent = bytes(range(32, 127)) * 10_000
    (tmp_path / "sent").write_bytes(sent)
    url = f"http://127.0.0.1:{proxy.port}"
    command = [NGHTTP or "", "--no-dep", "-d", str(tmp_path / "sent"), "-H", f"authorization: Bearer {TOKEN}"]
    assert output(*command, f"{url}/echo").encode() == sent
    assert "an access token is needed" in output(NGHTTP or "", f"{url}/echo")


@needs_nghttp2
def test_h2load_loses_no_request(proxy: Enforcer, app: Upstream) -> None:
    """Many streams on each of several connections."""
    app.handler = lambda incoming: incoming.respond(b"body")
    load = ["-n", "1000", "-c", "4", "-m", "50", "-H", f"authorization: Bearer {TOKEN}"]
    report = output(H2LOAD or "", *load, f"http://127.0.0.1:{proxy.port}/thing")
    assert "1000 succeeded, 0 failed, 0 errored, 0 timeout" in report, report
    assert "status codes: 1000 2xx" in report, report
