"""The table of an exchange's states. `test_exchange.py` drives each of its events."""

from __future__ import annotations

from enforcer.proxy.states.exchange_state import TRANSITIONS, ExchangeState


def test_every_state_is_reached_and_leads_to_the_end() -> None:
    """An exchange that could not end would hold its connections forever."""
    reached, new = {ExchangeState.QUEUED}, {ExchangeState.QUEUED}
    while new:
        new = {end for state in new for ends in TRANSITIONS[state].values() for end in ends} - reached
        reached |= new
    assert reached == set(ExchangeState)
    for state, events in TRANSITIONS.items():
        assert state is ExchangeState.DONE or any(ExchangeState.DONE in ends for ends in events.values())


def test_a_client_can_leave_in_every_state_in_which_something_waits() -> None:
    """A queued exchange has nothing to end, and neither has one that is done."""
    leaving = {state for state, events in TRANSITIONS.items() if "client gone" in events}
    assert leaving == set(ExchangeState) - {ExchangeState.QUEUED, ExchangeState.DONE}
