"""Before a proxy is measured, it must refuse what it should refuse and pass what it should pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from bench.decisions import check
from bench.processes import BenchError
from bench.servers import APACHE, AUTHORIZED, ENVOY, INACTIVE, NAIVE, NGINX, NJS, RunningServer, Server, enforcer

Decide = Callable[[str | None], int]
"""Returns the status of the response to a request with this Authorization field."""


def right(authorization: str | None) -> int:
    """Decide as a measured proxy must."""
    return 401 if authorization in {None, "Bearer ", INACTIVE["Authorization"]} else 200


@contextmanager
def proxy(decide: Decide) -> Iterator[RunningServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(decide(self.headers.get("Authorization")))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield RunningServer(Server("a proxy", server.server_port, lambda _, __: []), [], 0.0)
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_proxy_that_decides_rightly_passes(status: int) -> None:
    """It may refuse with 400, 401 or 403."""
    with proxy(lambda sent: 200 if right(sent) == 200 else status) as server:
        check(server)


@pytest.mark.parametrize(
    ("authorization", "case"),
    [
        (None, "without a token"),
        ("Bearer ", "with an empty token"),
        (INACTIVE["Authorization"], "with an inactive token"),
    ],
)
@pytest.mark.parametrize("status", [200, 204, 302, 404, 503])
def test_a_proxy_that_does_not_refuse_is_an_error(authorization: str | None, case: str, status: int) -> None:
    """The error names the proxy, the request and the status; an error of the proxy is not a refusal."""
    with (
        proxy(lambda sent: status if sent == authorization else right(sent)) as server,
        pytest.raises(BenchError, match=f"a proxy does not refuse a request {case}: .*{status}"),
    ):
        check(server)


@pytest.mark.parametrize("status", [204, 401, 502])
def test_a_proxy_that_refuses_an_active_token_is_an_error(status: int) -> None:
    """Refusing everything is cheaper than deciding."""
    with (
        proxy(lambda sent: status if right(sent) == 200 else right(sent)) as server,
        pytest.raises(BenchError, match=f"a proxy does not pass a request with an active token: .*{status}"),
    ):
        check(server)


def test_the_second_request_is_checked_too() -> None:
    """A proxy that caches decisions wrongly fails at the second one."""
    seen: set[str | None] = set()

    def decide(authorization: str | None) -> int:
        status = 200 if authorization in seen else right(authorization)
        seen.add(authorization)
        return status

    with proxy(decide) as server, pytest.raises(BenchError, match="does not refuse"):
        check(server)


def test_every_proxy_is_checked_except_those_that_only_forward() -> None:
    """The proxy nginx and Envoy are measured for what forwarding costs."""
    authorizing = {server.name for server in (APACHE, ENVOY, NAIVE, NGINX, NJS, enforcer()) if server.authorizes}
    assert authorizing == {"apache", "naive", "njs", "enforcer"}


def test_a_proxy_that_only_forwards_is_not_checked() -> None:
    """It cannot refuse anything."""
    with proxy(lambda _: 200) as server:
        check(RunningServer(Server("a proxy", server.server.port, server.server.command, authorizes=False), [], 0.0))


def test_the_inactive_token_is_as_long_as_the_active_one() -> None:
    """Only its beginning tells the authorization server that it is inactive."""
    assert len(INACTIVE["Authorization"]) == len(AUTHORIZED["Authorization"])
    assert INACTIVE["Authorization"].startswith("Bearer inactive")
