"""The states of a client connection's input, and the events that lead from one to another."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final


class ReadState(IntEnum):
    """The part of a message that the next byte from the client belongs to."""

    START = 0  # the first request head, or the preface of HTTP/2, begun or not
    HEAD = 1  # another request head, begun or not
    BODY = 2  # the body or trailers of the request whose exchange is `_receiving`
    UPGRADING = 3  # nothing yet: the head asks for an upgrade, and the parser stops behind it
    RESUMING = 4  # a body behind such a head: a new parser gets a head of our own, so that it reads the body
    HOLDING = 5  # another protocol, or the next head: the bytes are held until the response decides
    CLOSED = 6  # nothing: no byte is read any more


_BODY_OR_UPGRADE: Final = (ReadState.BODY, ReadState.UPGRADING, ReadState.CLOSED)
_ENDS: Final = {"closing response": (ReadState.CLOSED,), "end of input": (ReadState.CLOSED,)}

TRANSITIONS: Final[Mapping[ReadState, Mapping[str, tuple[ReadState, ...]]]] = {
    ReadState.START: {
        "head": _BODY_OR_UPGRADE,
        "unreadable": (ReadState.CLOSED,),
        "preface": (ReadState.CLOSED,),
        "end of input": (ReadState.CLOSED,),
    },
    ReadState.HEAD: {"head": _BODY_OR_UPGRADE, "unreadable": (ReadState.CLOSED,), **_ENDS},
    ReadState.BODY: {
        "request end": (ReadState.HEAD, ReadState.HOLDING, ReadState.CLOSED),
        "unreadable": (ReadState.CLOSED,),
        **_ENDS,
    },
    ReadState.UPGRADING: {"parser stopped": (ReadState.RESUMING, ReadState.HOLDING, ReadState.HEAD, ReadState.CLOSED)},
    ReadState.RESUMING: {"own head": (ReadState.BODY,)},
    ReadState.HOLDING: {"exchange end": (ReadState.HEAD,), "upgrade": (ReadState.CLOSED,), **_ENDS},
    ReadState.CLOSED: {},
}
"""The events that change the state, and the states that they lead to. `tests/proxy/test_connection.py` drives them.

UPGRADING and RESUMING last only within one read. The loss of the connection leads to CLOSED from every state.
"""
