import math
from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from enforcer.proxy.settings import ForwardingSettings, Limits, Timeouts

SETTINGS = (Limits, Timeouts, ForwardingSettings)
NAMED = [(settings, field.name) for settings in SETTINGS for field in fields(settings)]


@pytest.mark.parametrize(("settings", "name"), NAMED)
def test_every_setting_has_a_default_and_says_what_it_is_for(settings: Any, name: str) -> None:
    """Every limit is a named setting; its description is its docstring, also in an editor."""
    description = TypeAdapter(settings).json_schema()["properties"][name]["description"]
    assert description.strip().endswith(".")
    assert len(description) > 20
    assert getattr(settings(), name) is not None


@pytest.mark.parametrize(
    ("settings", "name"), [(settings, name) for settings, name in NAMED if settings in (Limits, Timeouts)]
)
def test_every_limit_is_finite(settings: Any, name: str) -> None:
    """Nothing is unbounded because nobody thought of it."""
    value = getattr(settings(), name)
    if is_dataclass(value):
        assert all(0 < getattr(value, inner.name) < math.inf for inner in fields(value))
    else:
        assert 0 < value < math.inf


@pytest.mark.parametrize(("settings", "name"), NAMED)
def test_a_setting_cannot_be_changed(settings: Any, name: str) -> None:
    """One request, one snapshot."""
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
        (ForwardingSettings, {"authorization": "keep"}),
        (ForwardingSettings, {"chain": True}),
        (ForwardingSettings, {"trusted_proxies": "10.0.0.1"}),
        (ForwardingSettings, {"end_with_token": "no"}),
    ],
)
def test_a_setting_without_unit_of_nothing_or_unknown_is_an_error(settings: Any, document: dict[str, Any]) -> None:
    """A limit of 0 would refuse everything, or divide by it."""
    with pytest.raises(ValidationError):
        TypeAdapter(settings).validate_python(document)


def test_settings_are_read_with_their_units() -> None:
    """Bytes and seconds inside."""
    assert TypeAdapter(Limits).validate_python({"head": "16KiB", "fields": 50}) == Limits(head=16384, fields=50)
    assert TypeAdapter(Timeouts).validate_python({"head": "500ms"}) == Timeouts(head=0.5)
