"""The decision log as an access log: who sent a request, where it went, and how its exchange ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from harness.clients import Client
from harness.configs import TOKEN, config
from harness.ports import closed_port
from harness.processes import Enforcer, enforcer
from harness.servers import Server, introspection_server, raw_server, response
from harness.waiting import eventually

BODY = b"x" * 1234


@contextmanager
def logging_enforcer(server: Server, url: str, **changes: Any) -> Iterator[Enforcer]:
    with enforcer(config(url, server.port, log={"decisions": "all"}, **changes)) as process:
        yield process


@pytest.fixture(scope="module")
def authorization() -> Iterator[Server]:
    with introspection_server({TOKEN: {"scope": "read", "sub": "alice", "client_id": "walker"}}) as server:
        yield server


def lines(process: Enforcer, count: int) -> list[dict[str, Any]]:
    """Wait for so many decisions in the log."""

    def decisions() -> list[str]:
        return [line for line in process.log().splitlines() if line.startswith("{")]

    assert eventually(lambda: len(decisions()) >= count)
    return [json.loads(line) for line in decisions()]


def test_an_exchange_is_logged_with_its_sender_and_its_end(authorization: Server) -> None:
    """An allowed request, a refused one, and HEAD, whose response has no body."""
    with raw_server(lambda head, _: response(b"" if head[:4] == b"HEAD" else BODY)) as app:
        url = f"http://127.0.0.1:{app.port}"
        with logging_enforcer(authorization, url) as process, Client(process.port) as client:
            client.request("GET", "/thing?secret=1")
            client.token = None
            refused = client.request("GET", "/thing")
            client.request("HEAD", "/public/x")
            allowed, denied, public = lines(process, 3)
    common = {"client": "127.0.0.1", "host": client.host}
    assert {
        "status": 200, "bytes": len(BODY), "upstream": url[7:], "subject": "alice", "path": "/thing", **common,
    }.items() <= allowed.items()  # fmt: skip
    assert {
        "status": 401, "bytes": len(refused.body), "upstream": None, "subject": None, **common,
    }.items() <= denied.items()  # fmt: skip
    assert (public["status"], public["bytes"], public["upstream"]) == (200, 0, url[7:])
    assert 0 < allowed["duration"] < 60


def test_two_clients_behind_a_trusted_proxy_do_not_look_alike(authorization: Server) -> None:
    """The address is the one that the proxy names; an IPv6 address is not shortened to its network."""
    with raw_server(lambda _head, _body: response(b"")) as app:
        trusting = {"trusted_proxies": ["127.0.0.1"]}
        with (
            logging_enforcer(authorization, f"http://127.0.0.1:{app.port}", forwarding=trusting) as process,
            Client(process.port) as client,
        ):
            addresses = ["192.0.2.7", "2001:db8::1", "2001:db8::2"]
            for address in addresses:
                client.request("GET", "/thing", [("X-Forwarded-For", address)])
            assert [line["client"] for line in lines(process, 3)] == addresses


def test_an_exchange_without_a_response_of_the_app_is_logged(authorization: Server) -> None:
    """It was allowed, and the app could not be reached."""
    with closed_port() as port, logging_enforcer(authorization, f"http://127.0.0.1:{port}") as process:
        with Client(process.port) as client:
            client.request("GET", "/thing")
        (line,) = lines(process, 1)
    assert (line["decision"], line["status"]) == ("allow", 502)


def test_a_client_that_leaves_is_logged(authorization: Server) -> None:
    """As 499, with what it got of the body."""
    with (
        raw_server(lambda _head, _body: b"") as app,
        logging_enforcer(authorization, f"http://127.0.0.1:{app.port}") as process,
    ):
        with Client(process.port) as client:
            client.begin("GET", "/thing")
            client.end()
            assert eventually(lambda: app.requests)
        (line,) = lines(process, 1)
    assert (line["decision"], line["status"], line["bytes"]) == ("allow", 499, 0)


def test_a_host_that_contains_the_token_is_not_logged(authorization: Server) -> None:
    """A client may write anything there."""
    with (
        raw_server(lambda _head, _body: response(b"")) as app,
        logging_enforcer(authorization, f"http://127.0.0.1:{app.port}") as process,
        Client(process.port, token="secret-token") as client,
    ):
        client.host = "secret-token.example.org"
        client.request("GET", "/thing")
        (line,) = lines(process, 1)
        assert (line["status"], line["host"]) == (401, None)
        assert "secret-token" not in process.log()
