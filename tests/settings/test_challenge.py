"""Settings of the challenge."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from enforcer.settings.challenge import ChallengeSettings

ADAPTER = TypeAdapter(ChallengeSettings)


def test_a_challenge_reveals_nothing_by_default() -> None:
    """Required scopes are shown to clients without a token only if the operator wants it."""
    assert ADAPTER.validate_python({}) == ChallengeSettings(realm=None, scope=False, resource_metadata=None)


@pytest.mark.parametrize("values", [{"realm": 1}, {"scope": "true"}, {"scope": 1}, {"resource_metadata": ["a"]}])
def test_a_wrong_type_is_an_error(values: dict[str, Any]) -> None:
    """Nothing is coerced."""
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(values)
