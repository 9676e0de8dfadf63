"""Rules for all sections of settings: described, immutable, closed, and finite by default."""

from __future__ import annotations

import math
from dataclasses import MISSING, Field, FrozenInstanceError, fields
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from enforcer.settings.authorization_server import AuthorizationServer, MetadataSettings, OwnTokenSettings
from enforcer.settings.cache import CacheSettings
from enforcer.settings.challenge import ChallengeSettings
from enforcer.settings.connections.pool import BreakerSettings, IntrospectionPool, PoolSettings
from enforcer.settings.connections.servers import Admin, Listener, Upstream
from enforcer.settings.connections.tls import ClientTLS, ServerTLS
from enforcer.settings.jwt import JwtSettings, KeySettings, ProofSettings
from enforcer.settings.log import Log

SECTIONS: list[type[Any]] = [
    *(AuthorizationServer, MetadataSettings, OwnTokenSettings, CacheSettings, ChallengeSettings),
    *(JwtSettings, KeySettings, ProofSettings, Log, BreakerSettings, IntrospectionPool, PoolSettings),
    *(Admin, Listener, Upstream, ClientTLS, ServerTLS),
]
REQUIRED = {"Upstream": ["url"], "ServerTLS": ["certificate", "key"]}
WITH_DEFAULTS = [section for section in SECTIONS if section.__name__ not in REQUIRED and section is not ClientTLS]


def settings_of(section: type[Any]) -> list[Field[Any]]:
    return [field for field in fields(section) if field.init]


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_is_described(section: type[Any]) -> None:
    """The docstring below a setting is its description in the reference and in editors."""
    properties = TypeAdapter(section).json_schema()["properties"]
    base = TypeAdapter(PoolSettings).json_schema()["properties"] if section is IntrospectionPool else {}
    for field in settings_of(section):
        node = {**base.get(field.name, {}), **properties[field.name]}
        assert node.get("description") or "$ref" in node, field.name


@pytest.mark.parametrize("section", SECTIONS)
def test_only_the_named_settings_are_required(section: type[Any]) -> None:
    """Every other setting has a default, so that a small configuration is possible."""
    required = [
        field.name for field in settings_of(section) if field.default is MISSING and field.default_factory is MISSING
    ]
    assert required == REQUIRED.get(section.__name__, [])


@pytest.mark.parametrize("section", WITH_DEFAULTS)
def test_numbers_are_positive_and_finite_by_default(section: type[Any]) -> None:
    """No wait, memory or number of connections is unbounded."""
    values = [getattr(section(), field.name) for field in settings_of(section)]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    assert all(0 < number < math.inf for number in numbers)


@pytest.mark.parametrize("section", WITH_DEFAULTS)
def test_settings_cannot_be_changed(section: type[Any]) -> None:
    """A request keeps the snapshot that it began with."""
    for field in settings_of(section):
        with pytest.raises(FrozenInstanceError):
            setattr(section(), field.name, None)


@pytest.mark.parametrize("section", WITH_DEFAULTS)
def test_an_unknown_key_is_an_error(section: type[Any]) -> None:
    """A misspelled setting must not silently have no effect."""
    assert TypeAdapter(section).validate_python({}) == section()
    with pytest.raises(ValidationError, match="unexpected_keyword_argument"):
        TypeAdapter(section).validate_python({"no_such_setting": 1})
