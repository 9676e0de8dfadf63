"""The states of a client connection's input, as scripts: bytes and events in, states and bytes out."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from harness.client_script import GET, LAST, POST, SWITCHING, UPGRADE, UPGRADE_TO_TCP, UPGRADE_WITH_BODY, Script
from harness.playbook import play

from enforcer.proxy.states.read_state import TRANSITIONS, ReadState
from enforcer.wire.http2.frames import PREFACE

START, HEAD, BODY, UPGRADING, RESUMING, HOLDING, CLOSED = ReadState
TRANSIENT = (UPGRADING, RESUMING)

Action = bytes | str
Step = tuple[str, Action, ReadState]
SCRIPTS: Mapping[str, tuple[list[Step], list[bytes]]] = {
    "a request without a body": ([("head", GET, HEAD)], []),
    "a body in pieces": ([("head", POST, BODY), ("", b"3\r\nabc\r\n", BODY), ("request end", b"0\r\n\r\n", HEAD)], []),
    "the last request": ([("head", POST[:-2] + LAST, BODY), ("request end", b"0\r\n\r\n", CLOSED)], []),
    "the last request, without a body": ([("head", GET[:-2] + LAST, CLOSED)], []),
    "a head that is not HTTP": ([("unreadable", b"\x00\x01\r\n", CLOSED)], [b"501"]),
    "a body that is not chunked": ([("head", POST, BODY), ("unreadable", b"nonsense\r\n", CLOSED)], [b"400"]),
    "more requests in one read": ([("head", GET * 4, HEAD)], []),
    "end of input before a request": ([("end of input", "end_input", CLOSED)], []),
    "end of input in a body": ([("head", POST, BODY), ("end of input", "end_input", CLOSED)], []),
    "end of input behind an upgrade": ([("head", UPGRADE, HOLDING), ("end of input", "end_input", CLOSED)], []),
    "the last response": ([("head", GET, HEAD), ("closing response", "respond_last", CLOSED)], [b"200"]),
    "a response before the body ends": ([("head", POST, BODY), ("closing response", "respond", CLOSED)], [b"200"]),
    "a refusal before the body ends": ([("head", POST.replace(b"/public", b""), CLOSED)], [b"401"]),
    "an upgrade that is not made": (
        [("head", UPGRADE + GET, HOLDING), ("", b"", HOLDING), ("exchange end", "respond", HEAD)],
        [b"200"],
    ),
    "an upgrade that is not made, and the end": (
        [("head", UPGRADE, HOLDING), ("closing response", "respond_last", CLOSED)],
        [b"200"],
    ),
    "an upgrade": ([("head", UPGRADE, HOLDING), ("upgrade", "switch", CLOSED)], [b"101"]),
    "an upgrade with a body is not one": (
        [("head", UPGRADE_WITH_BODY + b"ab", BODY), ("request end", b"cde", HEAD)],
        [],
    ),
    "an upgrade to another protocol, with a body": (
        [("head", UPGRADE_TO_TCP + b"ab", BODY), ("request end", b"cde", HOLDING), ("upgrade", "switch", CLOSED)],
        [b"101"],
    ),
    "an upgrade that is refused": ([("head", UPGRADE.replace(b"/public", b""), HEAD)], [b"401"]),
    "other requests": (
        [("head", GET, HEAD), ("", "respond", HEAD), ("head", GET, HEAD), ("", "respond", HEAD), ("head", POST, BODY)],
        [b"200", b"200"],
    ),
    "another request, the last": (
        [("head", GET, HEAD), ("", "respond", HEAD), ("head", GET[:-2] + LAST, CLOSED)],
        [b"200"],
    ),
    "another request, with an upgrade": (
        [("head", GET, HEAD), ("", "respond", HEAD), ("head", UPGRADE, HOLDING)],
        [b"200"],
    ),
    "end of input behind a request": ([("head", GET, HEAD), ("end of input", "end_input", CLOSED)], []),
    "HTTP/2": ([("preface", PREFACE, CLOSED)], []),
    "HTTP/2 behind a request": ([("head", GET, HEAD), ("unreadable", PREFACE, CLOSED)], []),
    "another request that is not HTTP": ([("head", GET, HEAD), ("unreadable", b"\x00\x01\r\n", CLOSED)], []),
}


def reachable(state: ReadState, event: str) -> set[ReadState]:
    """Return the states that an event leads to, through those that last only within one read."""
    states = {*TRANSITIONS[state][event]}
    for transient in TRANSIENT:
        if transient in states:
            states |= {to for ends in TRANSITIONS[transient].values() for to in ends}
    if BODY in states and event == "head":
        states |= {*TRANSITIONS[BODY]["request end"]}  # a request without a body ends in the same read
    return states - {*TRANSIENT}


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_event_leads_to_its_state(name: str) -> None:
    """And the client gets the responses that belong to it."""
    steps, statuses = SCRIPTS[name]

    async def script() -> None:
        script = Script(forwarding={"upgrades": ["websocket", "tcp"]})
        for event, action, state in steps:
            before = script.connection.read_state
            if isinstance(action, bytes):
                await script.receive(action)
            elif action == "switch":
                await script.respond(SWITCHING)
            else:
                await getattr(script, action)()
            assert script.connection.read_state is state, action
            assert not event or state in reachable(before, event)
        assert script.statuses == statuses

    play(script())


def test_every_transition_of_the_table_is_driven() -> None:
    """Those into states that last only within one read are seen by where they lead to."""
    driven: set[tuple[ReadState, str, ReadState]] = set()
    for steps, _ in SCRIPTS.values():
        state = START
        for event, _, following in steps:
            if event:
                driven.add((state, event, following))
            state = following
    table = {
        (state, event, to)
        for state in TRANSITIONS
        if state not in TRANSIENT
        for event in TRANSITIONS[state]
        for to in reachable(state, event)
    }
    assert table == driven
