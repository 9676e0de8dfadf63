"""Shares of clients in a table with a limit, and the lines of those that wait."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.shares import Holder, Lines, Portions, Shares


class Table:
    """A table that remembers the holders for the test."""

    def __init__(self, size: int, share: int) -> None:
        self.shares = Shares(size, share)
        self.holders: dict[str, Holder] = {}

    def fill(self, *clients: str) -> list[int]:
        """Let clients take places in turn until none may take another; return how many each holds."""
        while taken := {client: holder for client in clients if (holder := self.shares.take(client)) is not None}:
            self.holders.update(taken)
        return [self.holders[client].count if client in self.holders else 0 for client in clients]

    def leave(self, client: str) -> None:
        """Give one place back that a client holds."""
        self.shares.give_back(self.holders[client])


@pytest.mark.parametrize(
    ("share", "clients", "held"),
    [(75, 1, 768), (75, 2, 439), (75, 10, 100), (50, 1, 512), (50, 3, 256), (100, 1, 1024), (1, 1, 11)],
)
def test_a_share_shrinks_as_others_hold_places(share: int, clients: int, held: int) -> None:
    """One client gets the whole percentage, and more clients the same each."""
    counts = Table(1024, share).fill(*map(str, range(clients)))
    assert max(counts) - min(counts) <= 1
    assert max(counts) == held


@pytest.mark.parametrize("clients", [1, 10, 100, 300])
def test_there_is_room_for_a_client_that_holds_nothing(clients: int) -> None:
    """The others can never take everything."""
    table = Table(1024, 75)
    table.fill(*map(str, range(clients)))
    assert table.shares.take("new")


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_small_table_is_for_whoever_comes(size: int) -> None:
    """A share of less than one place would leave it empty."""
    assert Table(size, 75).fill("one") == [size]


def test_a_client_without_a_share_may_take_all_that_is_free() -> None:
    """It speaks for many; but it gets no more than there is."""
    table = Table(4, 75)
    assert table.fill("one") == [3]
    anyone = table.shares.take(None)
    assert anyone is not None
    assert table.shares.take(None) is None
    table.shares.give_back(anyone)
    assert table.shares.take("other")


def test_places_that_are_given_back_are_free_for_all() -> None:
    """Also by a client that was at its share."""
    table = Table(8, 50)
    assert table.fill("one") == [4]
    assert table.fill("other") == [2]
    for _ in range(4):
        table.leave("one")
    assert table.fill("other") == [4]
    assert table.shares.used == 4


@given(
    size=st.integers(1, 20),
    share=st.integers(1, 100),
    steps=st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 3), st.booleans()), max_size=60),
)
def test_the_table_never_has_more_places_than_its_size(
    size: int, share: int, steps: list[tuple[str, int, bool]]
) -> None:
    """And `used` is the sum of what the clients hold."""
    shares = Shares(size, share)
    held: list[tuple[Holder, int]] = []
    for client, count, take in steps:
        if take:
            holder = shares.take(client, count)
            if holder is not None:
                held.append((holder, count))
        elif held:
            shares.give_back(*held.pop())
        assert shares.used == sum(count for _, count in held) <= size
        assert shares.has_room == (shares.used < size)


def test_clients_that_hold_nothing_take_no_memory() -> None:
    """However many there were."""
    shares = Shares(10, 100)
    tracemalloc.start()
    try:
        for number in range(10_000):
            holder = shares.take(str(number))
            assert holder is not None
            shares.give_back(holder)
        assert tracemalloc.get_traced_memory()[0] < 50_000
    finally:
        tracemalloc.stop()


@dataclass(eq=False)
class Entry:
    """Something that waits."""

    name: str
    deadline: float = 0.0


def served(lines: Lines[Entry], shares: Shares) -> str:
    """Serve until no place or no entry is left; return the names in order."""
    names = ""
    while (entry := lines.serve(shares)) is not None:
        names += entry[0].name
    return names


def test_lines_are_served_in_turn() -> None:
    """A client with many entries delays another by one entry at most; its own are served in order."""
    lines: Lines[Entry] = Lines()
    for client, name in [*(("a", name) for name in "1234"), ("b", "x"), ("b", "y"), ("c", "z")]:
        lines.append(client, Entry(name))
    assert served(lines, Shares(100, 100)) == "1xz2y34"
    assert len(lines) == 0


def test_a_client_at_its_share_delays_no_other() -> None:
    """The others pass, until it has given places back."""
    lines: Lines[Entry] = Lines()
    table = Table(8, 50)
    assert table.fill("a") == [4]
    for client, name in [("a", "1"), ("a", "2"), ("b", "x")]:
        lines.append(client, Entry(name))
    assert (served(lines, table.shares), len(lines)) == ("x", 2)
    table.leave("a")
    assert served(lines, table.shares) == "1"
    assert served(lines, Shares(1, 100)) == "2"


def test_an_entry_leaves_its_line_by_itself_or_at_its_deadline() -> None:
    """The first of a line waits longest."""
    lines: Lines[Entry] = Lines()
    entries = [Entry(name, deadline) for name, deadline in zip("1234", (1.0, 2.0, 1.0, 3.0), strict=True)]
    for client, entry in zip("aabb", entries, strict=True):
        lines.append(client, entry)
    assert [entry.name for entry in lines.expire(1.0)] == ["1", "3"]
    assert [entry.name for entry in lines.of("a")] == ["2"]
    lines.remove("a", entries[1])
    assert (len(lines), list(lines.of("a"))) == (1, [])
    assert [entry.name for entry in lines.expire(3.0)] == ["4"]
    assert len(lines) == 0


def test_many_places_at_once_count_as_one_after_the_other() -> None:
    """So that clients which take much leave room for those that take little."""
    at_once, one_by_one = Shares(100, 50), Shares(100, 50)
    for client, count in (("one", 30), ("other", 30), ("third", 30), ("one", 20), ("third", 10)):
        taken = at_once.take(client, count) is not None
        singles = [holder for _ in range(count) if (holder := one_by_one.take(client)) is not None]
        assert taken == (len(singles) == count)
        if not taken:
            for holder in singles:
                one_by_one.give_back(holder)
    assert at_once.used == one_by_one.used < 100


def test_portions_compare_a_client_with_an_equal_part() -> None:
    """Of the clients that hold anything; some client always has an equal part or more."""
    portions = Portions()
    one, other = portions.add("one", 10), portions.add("other", 10)
    assert [(portions.reaches(holder), portions.exceeds(holder)) for holder in (one, other)] == [(True, False)] * 2
    portions.add("one", 1)
    assert [(portions.reaches(holder), portions.exceeds(holder)) for holder in (one, other)] == [
        (True, True),
        (False, False),
    ]
    portions.remove(one, 11)
    assert (portions.used, portions.reaches(other), portions.exceeds(other)) == (10, True, False)
    assert portions.add("one", 1) is not one
