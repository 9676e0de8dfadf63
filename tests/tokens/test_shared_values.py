"""Equal values as one object, in bounded memory."""

from __future__ import annotations

import tracemalloc

import pytest

from enforcer.tokens.shared_values import SharedValues, size_of


def test_an_equal_value_is_shared_and_costs_nothing() -> None:
    """The first use puts it into the table."""
    table = SharedValues(10_000)
    first, second = frozenset({"read", "write"}), frozenset({"write", "read"})
    assert table.share(first, first, 100) == (first, 0)
    assert table.share(second, second, 100)[0] is first


def test_a_large_value_is_not_shared() -> None:
    """It costs its user the whole size."""
    table = SharedValues(1_000_000)
    assert table.share("a", "a", 100_000)[1] >= 100_000
    assert table.size == 0


def test_a_full_table_begins_again() -> None:
    """However many different values there are, and it never holds more than it counts."""
    tracemalloc.start()
    try:
        table = SharedValues(100_000)
        before = tracemalloc.get_traced_memory()[0]
        for number in range(10_000):
            text = f"{number} {'x' * (number % 300)}"
            table.share(text, text, size_of(text))
            assert table.size <= 100_000
        assert tracemalloc.get_traced_memory()[0] - before < 120_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("value", [None, 7, "text", [], {}, ["a", {"b": ["c" * 1000]}], frozenset({"a" * 1000})])
def test_sizes_are_those_of_the_interpreter(value: object) -> None:
    """With everything that a value contains."""
    assert size_of(value) >= value.__sizeof__()
    assert size_of([value]) > size_of(value)
