"""The circuit breaker: what opens and closes it, and what does not."""

from __future__ import annotations

import pytest

from enforcer.settings.connections.pool import BreakerSettings
from enforcer.tokens.introspection.breaker import FIRST_PROBE, CircuitBreaker, Contact

SETTINGS = BreakerSettings(failures=3, pause=1.0)
FAILURES = [Contact.SILENCE, Contact.NO_CONNECTION]


class Bed:
    """A breaker; each call is a request or a probe that is sent and ends with nothing in between."""

    def __init__(self) -> None:
        self.breaker = CircuitBreaker(SETTINGS)
        self.now = 100.0

    def request(self, contact: Contact, known: str | None = None) -> None:
        self.breaker.record(contact, self.breaker.responses, known, self.now)

    def probe(self, contact: Contact) -> None:
        self.breaker.record_probe(contact, self.breaker.responses, self.now)

    def probes_until(self, end: float) -> list[float]:
        """Return the times of the probes until `end`, asked for ten times a second."""
        times = []
        while self.now < end:
            if self.breaker.take_probe(self.now):
                times.append(self.now)
            self.now = round(self.now + 0.1, 1)
        return times


def opened() -> Bed:
    bed = Bed()
    bed.probe(Contact.NO_CONNECTION)
    assert bed.breaker.is_open
    return bed


@pytest.mark.parametrize("contact", FAILURES)
def test_no_unknown_token_opens_it(contact: Contact) -> None:
    """However many fail: anybody can make them up. They cause probes."""
    bed = Bed()
    for _ in range(100):
        bed.request(contact)
    assert not bed.breaker.is_open
    assert bed.breaker.suspected


def test_known_tokens_of_several_clients_without_a_response_open_it() -> None:
    """One client counts once: it may have had its own tokens revoked."""
    bed = Bed()
    for _ in range(10):
        bed.request(Contact.SILENCE, "one")
        bed.request(Contact.SILENCE, "two")
    assert not bed.breaker.is_open
    bed.request(Contact.SILENCE, "three")
    assert bed.breaker.is_open


def test_a_response_in_between_restarts_the_count() -> None:
    """A server that responds to anybody keeps nobody waiting for long."""
    bed = Bed()
    for client in ("one", "two"):
        bed.request(Contact.SILENCE, client)
    bed.request(Contact.RESPONSE)
    assert not bed.breaker.suspected
    bed.request(Contact.SILENCE, "three")
    assert not bed.breaker.is_open


def test_a_probe_without_a_connection_opens_it() -> None:
    """No token had a part in that."""
    opened()


def test_a_probe_without_a_response_opens_it_only_if_earlier_ones_got_one() -> None:
    """Some servers never respond to a token that they do not know."""
    bed = Bed()
    bed.probe(Contact.SILENCE)
    assert not bed.breaker.is_open
    bed.probe(Contact.RESPONSE)
    bed.probe(Contact.SILENCE)
    assert bed.breaker.is_open


@pytest.mark.parametrize("contact", FAILURES)
def test_a_failure_after_a_response_to_somebody_else_is_outdated(contact: Contact) -> None:
    """A request that began before that response shows nothing of the server as it is now."""
    bed = Bed()
    bed.probe(Contact.RESPONSE)
    before = bed.breaker.responses
    bed.request(Contact.RESPONSE)
    bed.breaker.record_probe(contact, before, bed.now)
    for client in ("one", "two", "three"):
        bed.breaker.record(contact, before, client, bed.now)
    assert not bed.breaker.is_open
    assert not bed.breaker.suspected


@pytest.mark.parametrize("probes", [False, True])
def test_any_response_closes_it(probes: bool) -> None:
    """To a probe, or to a request that goes on although the client was refused."""
    bed = opened()
    (bed.probe if probes else bed.request)(Contact.RESPONSE)
    assert not bed.breaker.is_open


def test_what_was_not_sent_shows_nothing() -> None:
    """Our own full queue, or no access token of our own, says nothing of the server."""
    bed = Bed()
    for client in ("one", "two", "three"):
        bed.request(Contact.NOT_SENT, client)
        bed.probe(Contact.NOT_SENT)
    assert not bed.breaker.is_open
    assert not bed.breaker.suspected
    bed = opened()
    bed.request(Contact.NOT_SENT)
    assert bed.breaker.is_open


def test_while_the_server_is_suspected_a_probe_is_sent_in_each_pause() -> None:
    """The first one at once. Otherwise there is none."""
    bed = Bed()
    assert bed.probes_until(101.0) == []
    bed.request(Contact.SILENCE)
    assert bed.probes_until(103.5) == [101.0, 102.0, 103.0]
    bed.request(Contact.RESPONSE)
    assert bed.probes_until(110.0) == []


def test_one_probe_after_the_first_response_shows_whether_the_server_responds_to_probes() -> None:
    """So that the first outage is noticed by a probe too."""
    bed = Bed()
    needed = [bed.breaker.needs_probes]
    bed.request(Contact.RESPONSE)
    needed.append(bed.breaker.needs_probes)
    assert bed.probes_until(200.0) == [100.0 + FIRST_PROBE]
    needed.append(bed.breaker.needs_probes)
    assert needed == [False, True, False]
