"""What configurations share, and when it is closed."""

from enforcer.server.resources import SharedResources
from enforcer.settings.pool import PoolSettings


class Thing:
    """Something that is open until it is closed."""

    closed = 0

    def close(self) -> None:
        self.closed += 1


def test_what_is_made_of_the_same_is_the_same() -> None:
    """Settings are compared by what they say, whoever read them."""
    shared = SharedResources()
    first, second = shared.scope(), shared.scope()
    thing = first.take("pool", "app", PoolSettings(connections=1), make=Thing)
    assert second.take("pool", "app", PoolSettings(connections=1), make=Thing) is thing
    assert second.take("pool", "app", PoolSettings(connections=2), make=Thing) is not thing
    assert second.take("source", "app", PoolSettings(connections=1), make=Thing) is not thing


def test_a_thing_is_closed_when_the_last_one_that_took_it_ends() -> None:
    """Once, however often each took it."""
    shared = SharedResources()
    first, second = shared.scope(), shared.scope()
    common, own = first.take("shared", make=Thing), first.take("own", make=Thing)
    for _ in range(2):
        second.take("shared", make=Thing)
    first.end()
    assert (common.closed, own.closed) == (0, 1)
    first.end()
    second.end()
    assert (common.closed, own.closed) == (1, 1)
    assert shared.scope().take("shared", make=Thing) is not common


def test_what_has_nothing_to_close_is_let_go() -> None:
    """A table, say."""
    shared = SharedResources()
    scope = shared.scope()
    table = scope.take("table", make=dict)
    scope.end()
    assert shared.scope().take("table", make=dict) is not table


def test_the_newest_of_a_kind_is_the_one_made_last_of_those_in_use() -> None:
    """What a new one may take over from."""
    shared = SharedResources()
    assert shared.scope().newest("cache") is None
    first, second = shared.scope(), shared.scope()
    earlier, later = first.take("cache", 1, make=Thing), second.take("cache", 2, make=Thing)
    assert shared.scope().newest("cache") is later
    second.end()
    assert shared.scope().newest("cache") is earlier
