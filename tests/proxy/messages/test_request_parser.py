"""The parser of requests: its events reach the builder and the connection."""

from __future__ import annotations

from enforcer.proxy.messages.forwarding import Forwarding
from enforcer.proxy.messages.head import HeadBuilder
from enforcer.proxy.messages.request_parser import new_parser
from enforcer.settings.forwarding import ForwardingSettings


def test_the_builder_gets_the_head_and_the_connection_the_rest() -> None:
    """In the order of the bytes."""
    events: list[object] = []
    builder = HeadBuilder(Forwarding(ForwardingSettings()))
    parser = new_parser(builder, lambda: events.append("head"), events.append, lambda: events.append("end"))
    parser.feed_data(b"POST /thing HTTP/1.1\r\nHost: app\r\nContent-Length: 2\r\n\r\nab")
    assert (builder.target, builder.lines[:3]) == (b"/thing", [b"Host", b": ", b"app"])
    assert events == ["head", b"ab", "end"]
