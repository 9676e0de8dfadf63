"""The parser of requests: llhttp, with its events given to a client connection and its head builder."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httptools

from enforcer.proxy.head import HeadBuilder


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
