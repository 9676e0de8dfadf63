"""The exchange of the decision API: bodies, connections, and ends."""

from __future__ import annotations

import asyncio

import pytest
from harness.carriers import CALLER, CARRIERS
from harness.dataplane import DataPlane, Outcome

NGINX = CARRIERS["nginx"](b"GET", b"/public/x", b"app", [])
TOKEN = (b"Authorization", b"Bearer R~1")


def run(*pieces: bytes, late: bool = False, draining: bool = False) -> Outcome:
    async def script() -> Outcome:
        plane = DataPlane()
        plane.registry.draining = draining
        door = plane.door(contract="nginx", trusted_proxies=[CALLER])
        outcome = await plane.run(pieces, late=late, door=door, address=CALLER)
        plane.close()
        return outcome

    outcome = asyncio.run(script())
    assert (outcome.faults, outcome.arrived) == ([], [])
    return outcome


def with_body(carrier: bytes, fields: bytes, body: bytes) -> bytes:
    return carrier.removesuffix(b"\r\n") + fields + b"\r\n" + body


def test_requests_of_a_connection_are_answered_in_order() -> None:
    """A caller reuses its connections for all clients."""
    second = CARRIERS["nginx"](b"GET", b"/api/x", b"app", [])
    outcome = run(NGINX + second + NGINX)
    assert [part[:3] for part in outcome.answered.split(b"HTTP/1.1 ")[1:]] == [b"200", b"401", b"200"]
    assert not outcome.ended


@pytest.mark.parametrize(
    ("fields", "body"),
    [(b"Content-Length: 3\r\n", b"abc"), (b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n0\r\nT: r\r\n\r\n")],
)
@pytest.mark.parametrize("target", [b"/public/x", b"/api/x"])
def test_a_body_is_read_and_dropped(fields: bytes, body: bytes, target: bytes) -> None:
    """Envoy may send one (`with_request_body`). The decision does not wait for its end."""
    carrier = with_body(CARRIERS["nginx"](b"POST", target, b"app", []), fields, b"")
    outcome = run(carrier, body)
    assert outcome.answered.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close\r\n" in outcome.answered  # the rest of the body is not waited for
    assert outcome.ended


def test_a_body_that_is_there_when_the_token_is_verified_keeps_the_connection() -> None:
    """The next request follows behind it."""
    unseen = with_body(CARRIERS["nginx"](b"GET", b"/api/x", b"app", [TOKEN]), b"Content-Length: 3\r\n", b"abc")
    outcome = run(unseen, NGINX, late=True)
    assert [part[:3] for part in outcome.answered.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200"]
    assert not outcome.ended


def test_a_caller_that_leaves_is_not_answered() -> None:
    """Its client is gone, or it has waited too long."""

    async def script() -> None:
        plane = DataPlane()
        door = plane.door(contract="nginx", trusted_proxies=[CALLER])
        unseen = CARRIERS["nginx"](b"GET", b"/api/x", b"app", [TOKEN])
        outcome = await plane.run([unseen[:-2]], door=door, address=CALLER)
        assert (outcome.answered, outcome.faults) == (b"", [])
        plane.close()

    asyncio.run(script())


def test_a_carrier_that_cannot_be_read_ends_its_connection() -> None:
    """Its end is not known."""
    outcome = run(b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")
    assert outcome.answered.startswith(b"HTTP/1.1 400 ")
    assert outcome.ended


def test_an_upgrade_is_answered_and_not_performed() -> None:
    """HAProxy and Envoy may pass the fields on; the caller upgrades its own connections."""
    upgrade = with_body(NGINX, b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b"")
    outcome = run(upgrade, NGINX)
    assert [part[:3] for part in outcome.answered.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200"]


def test_an_answer_announces_the_end_while_draining() -> None:
    """The caller then opens its next connection to another replica."""
    outcome = run(NGINX, draining=True)
    assert b"Connection: close\r\n" in outcome.answered
    assert outcome.ended
