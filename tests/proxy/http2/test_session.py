"""The output of a connection: bodies are framed as fast as the client, and the transport, take them."""

from __future__ import annotations

import pytest
from h2.settings import SettingCodes
from harness.http2 import Http2Script
from harness.playbook import play


def response(size: int) -> bytes:
    """Return a response with a body."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size)


def test_streams_that_wait_for_the_window_of_the_connection_go_on_in_turn() -> None:
    """RFC 9113 §6.9: what one stream takes of it, the others wait for; credit for all lets each go on."""

    async def script() -> None:
        script = Http2Script()
        client = script.client
        client.reads = False
        numbers = [client.request("GET", "/public/thing") for _ in range(2)]
        await script.exchange()
        for pipe in script.playbook.upstreams:
            pipe.receive(response(50_000))
        await script.exchange()
        assert {number: len(client.bodies[number]) for number in numbers} == {1: 50_000, 3: 15_535}
        client.machine.increment_flow_control_window(65_535)
        await script.exchange()
        assert (len(client.bodies[3]), client.ended) == (50_000, set(numbers))

    play(script())


@pytest.mark.parametrize("full", [False, True])
def test_a_large_window_is_not_a_large_buffer(*, full: bool) -> None:
    """No more is framed ahead of the transport than it takes, whatever credit a client gives (CVE-2019-9517)."""

    async def script() -> None:
        script = Http2Script()
        client = script.client
        client.machine.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 2**30})
        client.machine.increment_flow_control_window(2**30)
        number = client.request("GET", "/public/thing")
        await script.exchange()
        if full:
            script.session.pause_writing()
        data, upstream = response(300_000), script.playbook.upstream
        upstream.receive(data[:200_000])
        await script.playbook.settle()
        assert (len(script.pipe.written) > 190_000, upstream.paused) == (not full, full)
        if full:
            script.session.resume_writing()
        upstream.receive(data[200_000:])
        await script.exchange()
        assert (len(client.bodies[number]), client.ended) == (300_000, {number})

    play(script())
