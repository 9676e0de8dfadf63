"""Settings of connection pools and circuit breakers."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from enforcer.settings.connections.pool import BreakerSettings, IntrospectionPool, PoolSettings

POOLS = [PoolSettings, IntrospectionPool]


def test_an_introspection_pool_has_fewer_connections_and_a_longer_queue() -> None:
    """Calls are short and the server is shared; every other default is the same."""
    upstream, introspection = PoolSettings(), IntrospectionPool()
    assert introspection.connections < upstream.connections
    assert introspection.queue > upstream.queue
    same = IntrospectionPool(connections=upstream.connections, queue=upstream.queue)
    assert all(getattr(same, name) == getattr(upstream, name) for name in PoolSettings.__dataclass_fields__)


def test_an_unused_connection_is_closed_before_common_app_servers_close_it() -> None:
    """They close theirs after 5 s: a request sent at that moment would be lost."""
    assert PoolSettings().keep_alive_timeout < 5.0


@pytest.mark.parametrize("section", POOLS)
def test_units_are_read(section: Any) -> None:
    """Durations become seconds, sizes bytes."""
    values = {"queue_timeout": "1m", "head": "8KiB", "connections": 1}
    assert TypeAdapter(section).validate_python(values) == section(queue_timeout=60.0, head=8192, connections=1)


@pytest.mark.parametrize("section", POOLS)
@pytest.mark.parametrize("key", sorted(PoolSettings.__dataclass_fields__))
@pytest.mark.parametrize("value", [0, "0s", "0B", None, "many", -1])
def test_no_limit_is_zero_or_unbounded(section: Any, key: str, value: object) -> None:
    """A pool without connections, or with an endless wait, would never respond."""
    with pytest.raises(ValidationError):
        TypeAdapter(section).validate_python({key: value})


@pytest.mark.parametrize("values", [{"failures": 0}, {"failures": 1.5}, {"pause": "0s"}, {"pause": 2}])
def test_a_breaker_needs_a_failure_and_a_pause(values: dict[str, Any]) -> None:
    """Without a pause it would never stop calls; without a failure, never allow any."""
    with pytest.raises(ValidationError):
        TypeAdapter(BreakerSettings).validate_python(values)
