"""The states of an exchange, and the events that lead from one to another."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final


class ExchangeState(IntEnum):
    """The event that an exchange waits for."""

    QUEUED = 0  # its turn: the request before it on its connection has not been answered
    WAIT_VERIFICATION = 1  # the verification of the token
    WAIT_CONNECTION = 2  # a connection to the upstream: the request is allowed
    SENDING = 3  # the final response head: the request is being sent, or is sent
    RESPONDING = 4  # the end of the response
    DONE = 5  # nothing: the response is written, the connection is a tunnel, or the client is gone


_QUEUED: Final = ExchangeState.QUEUED
_WAIT_VERIFICATION: Final = ExchangeState.WAIT_VERIFICATION
_WAIT_CONNECTION: Final = ExchangeState.WAIT_CONNECTION
_SENDING: Final = ExchangeState.SENDING
_RESPONDING: Final = ExchangeState.RESPONDING
_DONE: Final = ExchangeState.DONE

_ENDED_BY_CLIENT: Final = {"unreadable body": (_DONE,), "client stalled": (_DONE,), "client gone": (_DONE,)}

TRANSITIONS: Final[Mapping[ExchangeState, Mapping[str, tuple[ExchangeState, ...]]]] = {
    _QUEUED: {"begin": (_WAIT_VERIFICATION, _WAIT_CONNECTION, _SENDING, _DONE)},
    _WAIT_VERIFICATION: {"verified": (_WAIT_CONNECTION, _SENDING, _DONE), **_ENDED_BY_CLIENT},
    _WAIT_CONNECTION: {"connected": (_SENDING,), "upstream failed": (_DONE,), **_ENDED_BY_CLIENT},
    _SENDING: {
        "response head": (_RESPONDING, _DONE),
        "upgraded": (_DONE,),
        "upstream failed": (_WAIT_CONNECTION, _DONE),
        "denied by reload": (_DONE,),
        **_ENDED_BY_CLIENT,
    },
    _RESPONDING: {
        "response end": (_DONE,),
        "upstream failed": (_DONE,),
        "token expired": (_DONE,),
        "purged": (_DONE,),
        "denied by reload": (_DONE,),
        **_ENDED_BY_CLIENT,
    },
    _DONE: {},
}
"""The events that change the state, and the states that they lead to. `tests/proxy/test_exchange.py` drives them."""
