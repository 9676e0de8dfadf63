"""Settings of forwarding."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from enforcer.settings.forwarding import ForwardingSettings

NAMES = [field.name for field in fields(ForwardingSettings)]


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_has_a_default_and_a_description(name: str) -> None:
    """The docstring is the description in the reference and in editors."""
    description = TypeAdapter(ForwardingSettings).json_schema()["properties"][name]["description"]
    assert description.strip().endswith(".")
    assert len(description) > 20
    assert getattr(ForwardingSettings(), name) is not None


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_cannot_be_changed(name: str) -> None:
    """A request keeps the snapshot that it began with."""
    with pytest.raises(FrozenInstanceError):
        setattr(ForwardingSettings(), name, 1)


@pytest.mark.parametrize(
    "document", [{"authorization": "keep"}, {"chain": True}, {"trusted_proxies": "10.0.0.1"}, {"end_with_token": "no"}]
)
def test_an_invalid_value_is_an_error(document: dict[str, Any]) -> None:
    """Nothing is coerced."""
    with pytest.raises(ValidationError):
        TypeAdapter(ForwardingSettings).validate_python(document)


@pytest.mark.parametrize("protocol", ["h2c", "h2", "HTTP/2.0", "http/2", "tls/1.2", "WebSocket", "", "a b", "a,b"])
def test_no_upgrade_to_another_http_can_be_permitted(protocol: str) -> None:
    """Its requests would not be authorized."""
    with pytest.raises(ValidationError):
        TypeAdapter(ForwardingSettings).validate_python({"upgrades": [protocol]})
