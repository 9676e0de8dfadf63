"""Turns: who works how long between two polls of the sockets, with a clock of the test's own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from enforcer.wire.turns import LARGE, ROUND, SHARE, STEP, PacedInput, Turns


class Loop:
    """An event loop whose time passes only while somebody works."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.calls: list[Callable[[], None]] = []
        self.turns = Turns(self.calls.append, lambda: self.now)

    def work(self, seconds: float) -> None:
        """Process reads of other connections, unless it takes no time."""
        self.now += seconds
        self.turns.activity += seconds > 0

    def poll(self) -> None:
        """Run what was to be called soon."""
        calls, self.calls[:] = tuple(self.calls), []
        for call in calls:
            call()


class Peer:
    """A peer whose every step takes `cost` seconds."""

    def __init__(self, loop: Loop, cost: float = 0.0, boundary: bytes = b"", client: str | None = None) -> None:
        self.loop = loop
        self.client = client
        self.cost = cost
        self.steps: list[bytes] = []
        self.ends = 0
        self.reading = True
        self.aborted = False
        self.per_byte = 0.0
        self.input = PacedInput(loop.turns, self, self, boundary)

    def on_input(self, data: bytes) -> None:
        self.loop.now += self.cost + self.per_byte * len(data)
        self.steps.append(data)

    def on_turn_end(self) -> None:
        self.ends += 1

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def abort(self) -> None:
        self.aborted = True


def test_what_was_read_is_processed_before_the_next_poll_but_one() -> None:
    """Nothing more is read until then, and what the steps produced is passed on once."""
    loop = Loop()
    peer = Peer(loop)
    peer.input.add(b"x" * (2 * STEP + 1))
    assert (peer.steps, peer.reading, peer.input.waiting, loop.turns.places.used) == ([], False, True, 2 * STEP + 1)
    loop.poll()
    assert [len(step) for step in peer.steps] == [STEP, STEP, 1]
    assert (peer.reading, peer.ends, peer.input.waiting, loop.turns.places.used, loop.calls) == (True, 1, False, 0, [])


def test_a_step_ends_behind_a_boundary() -> None:
    """So that it has at most one head."""
    loop = Loop()
    peer = Peer(loop, boundary=b"\n\n")
    peer.input.add(b"one\n\ntwo\n\nthree")
    loop.poll()
    assert peer.steps == [b"one\n\n", b"two\n\n", b"three"]


def test_a_peer_works_for_its_share_in_a_round() -> None:
    """The others work in the same round, and it goes on in the next one, where it left off."""
    loop = Loop()
    greedy, other = Peer(loop, SHARE, b";"), Peer(loop, 0.0, b";")
    greedy.input.add(b"1;2;3;")
    other.input.add(b"a;b;")
    loop.now += 1
    loop.poll()
    assert (greedy.steps, other.steps, greedy.reading, other.reading) == ([b"1;"], [b"a;", b"b;"], False, True)
    loop.poll()
    loop.poll()
    assert (greedy.steps, greedy.reading) == ([b"1;", b"2;", b"3;"], True)


@pytest.mark.parametrize(("elsewhere", "expected"), [(1.0, ROUND), (ROUND * 1.5, ROUND / 2), (0.0, SHARE)])
def test_a_round_takes_no_more_than_a_third_of_the_others_time(elsewhere: float, expected: float) -> None:
    """A third of the time that everything else had since the last round, but `ROUND` at most, and a share at least."""
    loop = Loop()
    peers = [Peer(loop, SHARE / 4, b";") for _ in range(100)]
    for peer in peers:
        peer.input.add(b"x;" * 1000)
    loop.poll()
    loop.work(elsewhere)
    before = loop.now
    loop.poll()
    assert expected <= loop.now - before <= expected + SHARE / 2


def test_the_others_have_thrice_the_time_that_rounds_took_in_advance() -> None:
    """A step cannot be interrupted, and may take longer than its round has: the next rounds wait for it."""
    loop = Loop()
    peer = Peer(loop, ROUND, b";")
    peer.input.add(b"x;" * 100)
    loop.poll()
    rounds = []
    for _ in range(100):
        loop.work(ROUND / 2)
        before = len(peer.steps)
        loop.poll()
        rounds.append(len(peer.steps) - before)
    assert sum(rounds) == pytest.approx(100 * (ROUND / 2) / 3 / ROUND, abs=1)
    assert len(loop.turns) == 1


def test_a_large_read_counts_as_time_of_the_round_that_permits_it() -> None:
    """A hundred peers whose input is dropped at once would otherwise read on in one round, for ten milliseconds."""
    loop = Loop()
    peers = [Peer(loop) for _ in range(100)]
    for peer in peers:
        peer.input.wait(4 * LARGE)
    loop.now += 1
    loop.poll()
    reading = sum(peer.reading for peer in peers)
    assert 1 <= reading <= 5
    while not all(peer.reading for peer in peers):
        loop.now += ROUND
        loop.poll()


def test_steps_shrink_while_they_take_long_and_grow_again() -> None:
    """Many small chunks take more time than the bytes of one large chunk."""
    loop = Loop()
    peer = Peer(loop)
    peer.per_byte = SHARE / 1000
    _process(peer, b"x" * STEP * 8)
    lengths = [len(step) for step in peer.steps]
    assert lengths[:4] == [STEP, STEP // 2, STEP // 4, STEP // 8]
    assert set(lengths[4:-1]) <= {STEP // 8, STEP // 16}
    peer.per_byte = 0.0
    peer.steps.clear()
    _process(peer, b"x" * STEP * 8)
    assert len(peer.steps[-2]) == STEP


def _process(peer: Peer, data: bytes) -> None:
    peer.input.add(data)
    while peer.input.waiting:
        peer.loop.poll()


def test_every_peer_has_its_turn_before_one_has_two() -> None:
    """However few of them work in one round."""
    loop = Loop()
    peers = [Peer(loop, ROUND, b";") for _ in range(5)]
    for peer in peers:
        peer.input.add(b"1;2;3;")
    for done in range(1, 4):
        for _ in peers:
            loop.poll()
        assert [len(peer.steps) for peer in peers] == [done] * 5


def test_the_more_peers_wait_the_shorter_are_their_turns() -> None:
    """So that a peer which needs one step does not wait for the whole shares of a hundred others."""
    loop = Loop()
    peers = [Peer(loop, ROUND / 100, b";") for _ in range(50)]
    for peer in peers:
        peer.input.add(b"x;" * 100)
    loop.now += 1
    loop.poll()
    assert {len(peer.steps) for peer in peers} == {2}


def test_a_blocked_peer_waits_without_turns() -> None:
    """The input that it holds stays in order, and is processed before more is read."""
    loop = Loop()
    peer = Peer(loop, boundary=b";")
    peer.input.block()
    peer.input.add(b"1;2;")
    loop.poll()
    assert (peer.steps, len(loop.turns), peer.reading) == ([], 0, False)
    peer.input.unblock()
    assert not peer.reading
    loop.poll()
    assert (peer.steps, peer.reading) == ([b"1;", b"2;"], True)
    peer.input.block()
    assert not peer.reading
    peer.input.unblock()
    assert peer.reading


def test_a_step_may_block_its_peer() -> None:
    """The rest waits."""
    loop = Loop()

    class Full(Peer):
        def on_input(self, data: bytes) -> None:
            super().on_input(data)
            self.input.block()

    peer = Full(loop, boundary=b";")
    peer.input.add(b"1;2;")
    for done in (1, 2):
        loop.poll()
        assert len(peer.steps) == done
        assert not peer.reading
        peer.input.unblock()
    assert peer.reading


def test_the_rest_of_a_step_comes_first() -> None:
    """`put_back`: before what is held behind it."""
    loop = Loop()
    peer = Peer(loop)
    assert peer.input.begin(b"1" * STEP + b"2") == b"1" * STEP
    peer.input.put_back(b"11")
    peer.input.add(b"3")
    assert peer.input.take() == b"1123"
    assert (peer.input.waiting, loop.turns.places.used) == (False, 0)


def test_a_peer_that_holds_nothing_reads_on_after_its_turn() -> None:
    """`wait`: after a large read, whatever was done with it."""
    loop = Loop()
    peer = Peer(loop)
    peer.input.wait()
    assert not peer.reading
    loop.poll()
    assert peer.reading


def test_a_closed_input_never_reads_on() -> None:
    """Its transport may belong to another reader by then."""
    loop = Loop()
    peer = Peer(loop)
    peer.input.add(b"x")
    peer.input.close()
    peer.input.wait()
    loop.poll()
    assert (peer.steps, peer.reading, loop.turns.places.used) == ([], False, 0)


def test_the_fault_of_one_peer_ends_only_that_peer(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the others have their turns."""
    loop = Loop()

    class Broken(Peer):
        def on_input(self, data: bytes) -> None:
            raise RuntimeError("broken")

    broken, other = Broken(loop), Peer(loop)
    for peer in (broken, other):
        peer.input.add(b"x")
    loop.poll()
    assert (broken.aborted, other.aborted, other.steps) == (True, False, [b"x"])
    assert "internal error" in caplog.text


@pytest.mark.parametrize("read", ["at once", "in steps"])
def test_one_client_does_not_hold_all_that_may_be_held(read: str) -> None:
    """A peer of a client that holds its share is closed, and counted; another client finds room."""
    loop = Loop()
    loop.turns.places.size, loop.turns.places.share = 8 * LARGE, 50

    def hold(client: str, size: int) -> Peer:
        peer = Peer(loop, client=client)
        if read == "at once":
            peer.input.add(b"x" * size)
        else:
            assert peer.input.begin(b"x" * size)
            peer.input.wait()
        return peer

    assert [hold("flood", LARGE).aborted for _ in range(6)] == [False] * 4 + [True] * 2
    assert [hold(client, LARGE).aborted for client in ("one", "other", "one", "other")] == [False] * 2 + [True] * 2
    assert (loop.turns.closed, loop.turns.held_back.count, loop.turns.places.used) == (4, 4, 6 * LARGE)


def test_what_is_no_longer_held_makes_room() -> None:
    """Processed, taken or dropped."""
    loop = Loop()
    loop.turns.places.size = LARGE
    for end in (lambda peer: loop.poll(), lambda peer: peer.input.take(), lambda peer: peer.input.close()):
        peer = Peer(loop)
        peer.input.add(b"x" * LARGE)
        assert loop.turns.places.used == LARGE
        end(peer)
        assert (peer.aborted, loop.turns.places.used) == (False, 0)


def test_the_peers_of_a_client_divide_its_turn() -> None:
    """A hundred connections get no more of a round than one; each works before one works twice."""
    loop = Loop()
    flood, other = [Peer(loop, SHARE / 2, b";", "flood") for _ in range(5)], Peer(loop, SHARE / 2, b";", "other")
    for peer in (*flood, other):
        peer.input.add(b"1;2;3;4;5;6;")
    loop.now += 1
    for number in range(1, 6):
        loop.now += 1
        loop.poll()
        assert (sum(len(peer.steps) for peer in flood), len(other.steps)) == (2 * number, min(2 * number, 6))
    assert [len(peer.steps) for peer in flood] == [2] * 5
