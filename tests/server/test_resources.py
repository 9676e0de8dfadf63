"""Sharing and closing of resources."""

from enforcer.server.resources import SharedResources
from enforcer.settings.connections.pool import PoolSettings


class Resource:
    """Counts the calls of `close`."""

    closed = 0

    def close(self) -> None:
        self.closed += 1


def test_a_resource_with_equal_settings_is_shared() -> None:
    """Settings are compared by value."""
    shared = SharedResources()
    first, second = shared.scope(), shared.scope()
    resource = first.take("pool", "app", PoolSettings(connections=1), make=Resource)
    assert second.take("pool", "app", PoolSettings(connections=1), make=Resource) is resource
    assert second.take("pool", "app", PoolSettings(connections=2), make=Resource) is not resource
    assert second.take("source", "app", PoolSettings(connections=1), make=Resource) is not resource


def test_a_resource_is_closed_with_its_last_scope() -> None:
    """Once, even if a scope took it several times."""
    shared = SharedResources()
    first, second = shared.scope(), shared.scope()
    common, own = first.take("shared", make=Resource), first.take("own", make=Resource)
    for _ in range(2):
        second.take("shared", make=Resource)
    first.end()
    assert (common.closed, own.closed) == (0, 1)
    first.end()
    second.end()
    assert (common.closed, own.closed) == (1, 1)
    assert shared.scope().take("shared", make=Resource) is not common


def test_a_resource_without_close_is_released() -> None:
    """For example a dictionary."""
    shared = SharedResources()
    scope = shared.scope()
    table: dict[str, str] = scope.take("table", make=dict)
    scope.end()
    assert shared.scope().take("table", make=dict) is not table


def test_the_newest_of_a_kind_is_the_last_one_built_and_in_use() -> None:
    """A new cache takes over entries from it."""
    shared = SharedResources()
    assert (shared.scope().newest("cache"), shared.kinds()) == (None, [])
    first, second = shared.scope(), shared.scope()
    earlier, later = first.take("cache", 1, make=Resource), second.take("cache", 2, make=Resource)
    assert (shared.scope().newest("cache"), shared.kinds()) == (later, ["cache", "cache"])
    second.end()
    assert shared.scope().newest("cache") is earlier
