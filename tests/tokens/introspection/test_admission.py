"""Which introspection requests may be sent: one client's tokens never stop another client's."""

from __future__ import annotations

from dataclasses import dataclass

from enforcer.settings.connections.pool import BreakerSettings, IntrospectionPool
from enforcer.tokens.introspection.admission import Admission, LookupAdmission
from enforcer.tokens.introspection.breaker import Contact
from enforcer.tokens.lookup import Lookup

SEND, TRY, WAIT, REFUSE = Admission.SEND, Admission.TRY, Admission.WAIT, Admission.REFUSE


@dataclass
class Entry:
    """A lookup that waits."""

    deadline: float


class Bed:
    """The admission of one server; `send` begins a request if it may, and `end` ends one."""

    def __init__(self, *, clients: int = 100, queue: int = 8) -> None:
        settings = BreakerSettings(failures=3, pause=1.0, unproven=2, max_retry_after=30.0, clients=clients)
        self.admission: LookupAdmission[Entry] = LookupAdmission(
            settings, IntrospectionPool(connections=5, queue=queue)
        )
        self.now = 0.0

    def send(self, client: str = "one", *, known: bool = False) -> Admission:
        admission = self.admission.admit(Lookup(b"token", client, known), self.now)
        if admission in (SEND, TRY):
            self.admission.begin(client)
        return admission

    def end(self, contact: Contact, client: str = "one", *, active: bool = False, known: bool = False) -> None:
        lookup, responses = Lookup(b"token", client, known), self.admission.breaker.responses
        self.admission.end(lookup, contact, responses, self.now, active=active)

    def fail(self, client: str = "one", times: int = 3) -> None:
        """Have requests of a client end without a response."""
        for _ in range(times):
            assert self.send(client) is SEND
            self.end(Contact.SILENCE, client)

    def wait(self, client: str = "one", timeout: float = 5.0) -> Entry:
        assert self.send(client) is WAIT
        entry = Entry(self.now + timeout)
        self.admission.wait(client, entry)
        return entry


def test_a_client_without_an_active_token_has_few_requests_at_a_time() -> None:
    """Others wait for them, also if the server responds. Another client is not affected."""
    bed = Bed()
    assert [bed.send() for _ in range(3)] == [SEND, SEND, WAIT]
    assert bed.send("two") is SEND
    bed.end(Contact.RESPONSE)
    assert [bed.send() for _ in range(2)] == [SEND, WAIT]


def test_each_active_token_allows_one_request_more_up_to_all_connections() -> None:
    """Many users behind one address are not slowed down for long."""
    bed = Bed()
    for _ in range(9):
        assert bed.send() is SEND
        bed.end(Contact.RESPONSE, active=True)
    assert [bed.send() for _ in range(6)] == [SEND] * 5 + [WAIT]


def test_each_request_without_a_response_takes_one_back() -> None:
    """Never below the first ones."""
    bed = Bed()
    assert [bed.send(), bed.send()] == [SEND, SEND]
    for active in (True, True):
        bed.end(Contact.RESPONSE, active=active)  # two more
    bed.fail(times=1)
    assert [bed.send() for _ in range(4)] == [SEND] * 3 + [WAIT]


def test_a_known_token_waits_for_nothing() -> None:
    """Nobody can make it up."""
    bed = Bed()
    assert [bed.send(), bed.send(), bed.send(known=True)] == [SEND] * 3


def test_a_waiting_lookup_is_sent_in_its_turn() -> None:
    """In the order of the client's line, when a request of the client has ended."""
    bed = Bed()
    bed.send()
    bed.send()
    first, second = bed.wait(), bed.wait()
    assert bed.admission.next("one", 0.0) is None
    bed.end(Contact.RESPONSE)
    assert bed.admission.next("one", 0.0) == (first, SEND)
    bed.admission.begin("one")
    assert bed.admission.next("one", 0.0) is None
    bed.end(Contact.RESPONSE)
    assert bed.admission.next("one", 0.0) == (second, SEND)
    assert bed.admission.next("one", 0.0) is None


def test_a_lookup_that_waited_too_long_is_refused() -> None:
    """Its client has usually given up."""
    bed = Bed()
    bed.send()
    bed.send()
    entry = bed.wait(timeout=5.0)
    assert bed.admission.next("one", 4.9) is None
    assert bed.admission.next("one", 5.0) == (entry, REFUSE)


def test_the_line_is_bounded_and_leaves_room_for_other_clients() -> None:
    """A client may take half of what is left of the queue."""
    bed = Bed(queue=8)
    bed.send()
    bed.send()
    for _ in range(4):
        bed.wait()
    assert bed.send() is REFUSE
    bed.send("two")
    bed.send("two")
    bed.wait("two")


def test_a_client_whose_requests_got_no_response_waits_no_longer() -> None:
    """Another client is not affected. The line of the client is refused too."""
    bed = Bed()
    bed.send()
    bed.send()
    entry = bed.wait()
    for _ in range(2):
        bed.end(Contact.SILENCE)
    assert bed.admission.next("one", 0.0) == (entry, SEND)
    bed.admission.begin("one")
    waiting = [bed.send(), bed.send()]
    assert waiting == [SEND, WAIT]
    bed.end(Contact.SILENCE)
    assert bed.send() is REFUSE
    assert bed.send("two") is SEND


def test_one_request_in_each_pause_goes_on_although_its_client_is_refused() -> None:
    """So that the end of an outage is noticed; only one at a time."""
    bed = Bed()
    bed.fail()
    assert [bed.send(), bed.send()] == [TRY, REFUSE]
    bed.now = 1.5
    assert bed.send() is REFUSE  # the last one is still running
    bed.end(Contact.SILENCE)
    assert [bed.send(), bed.send()] == [TRY, REFUSE]
    bed.end(Contact.RESPONSE)
    assert bed.send() is SEND


def test_after_a_response_to_anybody_one_request_of_the_client_is_sent_and_waited_for() -> None:
    """The server may be back. If its tokens are the cause, the client waits for each of them, and nobody else does."""
    bed = Bed()
    bed.fail()
    bed.send("two")
    bed.end(Contact.RESPONSE, "two")
    assert [bed.send(), bed.send()] == [SEND, REFUSE]
    bed.end(Contact.SILENCE)
    assert bed.send() is TRY


def test_without_a_connection_no_client_is_to_blame() -> None:
    """The server is unreachable for all of them, which a probe will show."""
    bed = Bed()
    for _ in range(5):
        assert bed.send() is SEND
        bed.end(Contact.NO_CONNECTION)


def test_an_open_breaker_refuses_all_clients_but_for_one_request_in_each_pause() -> None:
    """Known tokens too."""
    bed = Bed()
    bed.admission.breaker.record_probe(Contact.NO_CONNECTION, 0, 0.0)
    assert [bed.send(), bed.send(), bed.send("two", known=True), bed.send("two")] == [TRY, REFUSE, TRY, REFUSE]


def test_retry_after_holds_the_client_that_caused_it_for_a_bounded_time() -> None:
    """Other clients are asked for: the server tells each of them itself."""
    bed = Bed()
    assert bed.admission.hold("one", 10.0, 100.0) == 10.0
    assert bed.admission.hold("two", 3600.0, 100.0) == 30.0
    assert [bed.admission.held("one", now) for now in (100.0, 104.0, 110.0, 120.0)] == [10.0, 6.0, 0.0, 0.0]
    assert bed.admission.held("two", 100.0) == 30.0
    assert bed.admission.held("three", 100.0) == 0.0


def test_records_are_bounded_and_those_with_requests_stay() -> None:
    """A client with many addresses drops only old records, which are made again as they were at first."""
    bed = Bed(clients=3)
    bed.fail("old")
    bed.send("busy")
    for number in range(10):
        bed.send(f"attacker{number}")
        bed.end(Contact.RESPONSE, f"attacker{number}")
    assert [bed.send("busy"), bed.send("busy")] == [SEND, WAIT]
    assert bed.send("old") is SEND
