"""No request that the limits let in takes much more work than another, whatever it is filled with."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import closing
from random import Random

import pytest
from fuzz import cost
from fuzz.search import search_costs

from enforcer.decision_log import redaction
from enforcer.wire import fields


def expensive(requests: Iterable[tuple[str, bytes]]) -> dict[str, list[str]]:
    """Return the requests that take too much work or make an internal error, by name."""

    async def run() -> dict[str, list[str]]:
        with closing(cost.make_plane()) as plane:
            await cost.warm_up(plane)
            violations = {name: await cost.violations(plane, data) for name, data in requests}
        return {name: texts for name, texts in violations.items() if texts}

    return asyncio.run(run())


SIGNS = {
    "segments that might be a part of the token": cost.request(
        b"/api/" + b"aaaaaaaa/" * 900 + b"a", [(b"Authorization", b"Basic " + b"x" * 22_000)]
    ),
    "options of Connection": cost.request(b"/api/x", [(b"Connection", b"a," * 15_000)]),
    "options in several Connection fields": cost.request(b"/api/x", [(b"Connection", b"a," * 160)] * 90),
    "encoded segments": cost.request(b"/api/" + b"%41/" * 2_040 + b"a", []),
    "encoded bytes": cost.request(b"/api/" + b"%41" * 2_700, []),
    "addresses of proxies": cost.request(b"/api/x", [(b"X-Forwarded-For", b"10.0.0.1," * 3_000)]),
    "objects in a proof": dict(cost.of_unit(b"{},"))["proof's claims as JSON"],
    "names of fields": cost.new_names(1),
    "parameters": cost.request(b"/places/x?" + b"a&" * 4_000, []),
    "tokens in parameters": cost.request(b"/places/x?" + b"access_token=12345678&" * 370, []),
    "cookies": cost.request(b"/places/x", [(b"Cookie", b"a;" * 15_000)]),
    "tokens in cookies": cost.request(b"/" + b"12345678/" * 40, [(b"Cookie", b"token=12345678;" * 2_000)]),
    "subprotocols": cost.request(b"/places/x", [(b"Sec-WebSocket-Protocol", b"a," * 15_000)]),
    "tokens in subprotocols": cost.request(b"/places/x", [(b"Sec-WebSocket-Protocol", b"token.12345678," * 2_000)]),
    "tokens and fields of a condition": cost.request(
        b"/places/x", [(b"Cookie", b"token=12345678;" * 1_800), *([(b"X-Tenant", b"12345678")] * 90)]
    ),
}
"""Requests that cost 2 to 150 ms each, or might."""


def test_no_request_is_expensive_because_of_two_sizes_that_a_client_chooses() -> None:
    """Each was found by an audit, or is like one that was."""
    assert expensive(SIGNS.items()) == {}


def test_no_place_of_a_request_is_expensive_to_fill() -> None:
    """Every place twice, with the units in turn; `make fuzz` tries all of them, and several places at a time."""
    by_unit = [(unit, list(cost.of_unit(unit))) for unit in cost.UNITS]
    chosen = [
        (f"{requests[place][0]} {unit!r}", requests[place][1])
        for number, (unit, requests) in enumerate(by_unit)
        for place in range(number % 27, len(requests), 27)
    ]
    assert expensive(chosen) == {}


def test_random_fillings_are_not_expensive() -> None:
    """The same every time."""
    random = Random(1)
    assert expensive((f"{number}", cost.random_request(random)) for number in range(150)) == {}


def test_an_expensive_request_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here of an enforcer that compares every segment of a path with the token."""
    monkeypatch.setattr(redaction, "_MAX_TEXTS", 10**9)
    monkeypatch.setattr(redaction, "_MAX_COMPARED", 10**9)
    assert "segments that might be a part of the token" in expensive(SIGNS.items())


def test_the_random_search_finds_an_expensive_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here of an enforcer that reads any number of options in Connection."""
    monkeypatch.setattr(fields, "MAX_MEMBERS", 10**9)
    assert asyncio.run(search_costs(120.0, seed=1)).failure is not None
