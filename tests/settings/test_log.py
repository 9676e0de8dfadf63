"""Settings of the log and the decision log."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from enforcer.settings.log import Log

ADAPTER = TypeAdapter(Log)


def test_decisions_are_not_logged_by_default() -> None:
    """Anybody can cause any number of denials."""
    assert (Log().level, Log().format, Log().decisions) == ("info", "text", "none")


@pytest.mark.parametrize("decisions", ["none", "denied", "all"])
def test_each_choice_is_valid(decisions: str) -> None:
    """The three choices of `decisions`."""
    assert ADAPTER.validate_python({"decisions": decisions}).decisions == decisions


@pytest.mark.parametrize(
    "values",
    [{"level": "warn"}, {"level": "INFO"}, {"format": "logfmt"}, {"decisions": True}, {"backlog": 0}, {"backlog": "1"}],
)
def test_an_invalid_value_is_an_error(values: dict[str, Any]) -> None:
    """Choices are exact, and the buffer has room for a record."""
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(values)
