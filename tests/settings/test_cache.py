"""Settings of the cache."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from enforcer.settings.cache import CacheSettings

ADAPTER = TypeAdapter(CacheSettings)


def test_units_are_read() -> None:
    """Durations become seconds; numbers of entries have no unit."""
    values = {"ttl": "2m", "refresh_ahead": "10s", "stale": "1h", "negative_ttl": "250ms", "entries": 1}
    assert ADAPTER.validate_python(values) == CacheSettings(
        ttl=120.0, refresh_ahead=10.0, stale=3600.0, negative_ttl=0.25, entries=1
    )


def test_inactive_tokens_are_cached_for_less_time_and_in_smaller_numbers_by_default() -> None:
    """A token may become active a moment later, and anybody can send random tokens."""
    defaults = CacheSettings()
    assert defaults.negative_ttl < defaults.ttl
    assert defaults.negative_entries < defaults.entries
    assert defaults.refresh_ahead <= defaults.ttl / 2


@pytest.mark.parametrize("key", ["refresh_ahead", "stale"])
def test_refreshing_ahead_and_stale_entries_can_be_turned_off(key: str) -> None:
    """0s means never; the other durations must be longer."""
    assert getattr(ADAPTER.validate_python({key: "0s"}), key) == 0.0


@pytest.mark.parametrize(
    "values",
    [{"ttl": "0s"}, {"negative_ttl": "0s"}, {"ttl": 60}, {"ttl": "-1s"}, {"entries": 0}, {"negative_entries": "10"}],
)
def test_an_invalid_value_is_an_error(values: dict[str, Any]) -> None:
    """A cache without entries or lifetime would introspect every request."""
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(values)
