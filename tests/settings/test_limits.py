"""Limits and timeouts of requests."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from enforcer.settings.limits import Limits, Timeouts

SETTINGS = (Limits, Timeouts)
NAMED = [(settings, field.name) for settings in SETTINGS for field in fields(settings)]


@pytest.mark.parametrize(("settings", "name"), NAMED)
def test_every_setting_has_a_default_and_a_description(settings: Any, name: str) -> None:
    """The docstring is the description in the reference and in editors."""
    description = TypeAdapter(settings).json_schema()["properties"][name]["description"]
    assert description.strip().endswith(".")
    assert len(description) > 20
    assert getattr(settings(), name) is not None


@pytest.mark.parametrize(("settings", "name"), NAMED)
def test_every_limit_is_finite(settings: Any, name: str) -> None:
    """No limit is unbounded by default."""
    value = getattr(settings(), name)
    if is_dataclass(value):
        assert all(0 < getattr(value, inner.name) < math.inf for inner in fields(value))
    else:
        assert 0 < value < math.inf


@pytest.mark.parametrize(("settings", "name"), NAMED)
def test_a_setting_cannot_be_changed(settings: Any, name: str) -> None:
    """A request keeps the snapshot that it began with."""
    with pytest.raises(FrozenInstanceError):
        setattr(settings(), name, 1)


@pytest.mark.parametrize(
    ("settings", "document"),
    [
        (Limits, {"heads": "1KiB"}),
        (Limits, {"head": 1024}),
        (Limits, {"head": "0B"}),
        (Limits, {"body_rate": "0B"}),
        (Limits, {"connections": 0}),
        (Limits, {"connections": "10"}),
        (Timeouts, {"head": "0s"}),
        (Timeouts, {"head": 10}),
        (Timeouts, {"head": None}),
    ],
)
def test_a_limit_needs_its_unit_and_is_more_than_zero(settings: Any, document: dict[str, Any]) -> None:
    """A limit of 0 would refuse every request, or be divided by; an unknown key is an error."""
    with pytest.raises(ValidationError):
        TypeAdapter(settings).validate_python(document)


def test_settings_are_read_with_their_units() -> None:
    """Sizes become bytes, durations seconds."""
    assert TypeAdapter(Limits).validate_python({"head": "16KiB", "fields": 50}) == Limits(head=16384, fields=50)
    assert TypeAdapter(Timeouts).validate_python({"head": "500ms"}) == Timeouts(head=0.5)
