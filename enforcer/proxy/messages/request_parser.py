"""The parser of requests: llhttp, with its events given to a client connection and its head builder."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httptools

from enforcer.proxy.messages.head import HeadBuilder
from enforcer.wire.http2.frames import PREFACE


def new_parser(
    builder: HeadBuilder,
    on_headers_complete: Callable[[], None],
    on_body: Callable[[bytes], None],
    on_message_complete: Callable[[], None],
) -> Any:
    """Return a parser that waits for a request head."""
    events = SimpleNamespace(
        on_url=builder.on_url,
        on_header=builder.on_header,
        on_headers_complete=on_headers_complete,
        on_body=on_body,
        on_message_complete=on_message_complete,
    )
    return httptools.HttpRequestParser(events)


def is_http2(error: httptools.HttpParserError) -> bool:
    """Return whether the parser stopped behind the preface of HTTP/2, which it knows."""
    return error.args == ("Pause on PRI/Upgrade",)


def behind_preface(data: bytes) -> bytes:
    """Return what follows the preface in the read that its last byte came with."""
    for size in range(len(PREFACE), 0, -1):
        if data.startswith(PREFACE[-size:]):
            return data[size:]
    return data
