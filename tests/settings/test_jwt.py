"""Settings of JWTs, signing keys and DPoP proofs."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from enforcer.settings.jwt import Algorithm, JwtSettings, KeySettings, ProofSettings


def test_every_algorithm_is_asymmetric() -> None:
    """With HMAC, the public key would be the secret; with `none`, there is no signature at all."""
    algorithms = get_args(Algorithm)
    assert not [name for name in algorithms if name.startswith("HS") or name == "none"]
    for section in (JwtSettings, ProofSettings):
        for name in ("HS256", "none", "rs256"):
            with pytest.raises(ValidationError):
                TypeAdapter(section).validate_python({"algorithms": [name]})
        assert set(section().algorithms) <= set(algorithms)


def test_keys_must_outlive_their_refresh() -> None:
    """Otherwise tokens would be refused between two fetches."""
    adapter = TypeAdapter(KeySettings)
    assert adapter.validate_python({"refresh": "5m", "max_age": "301s"}) == KeySettings(max_age=301.0)
    for max_age in ("5m", "4m"):
        with pytest.raises(ValidationError, match="max_age must be more than refresh"):
            adapter.validate_python({"refresh": "5m", "max_age": max_age})
    assert KeySettings().max_age > KeySettings().refresh


def test_at_least_one_algorithm_for_proofs_is_required() -> None:
    """Without one, no sender-constrained token could be used."""
    with pytest.raises(ValidationError, match="expected at least one"):
        TypeAdapter(ProofSettings).validate_python({"algorithms": []})


def test_units_are_read() -> None:
    """Durations become seconds, sizes bytes; no clock skew is possible."""
    assert TypeAdapter(JwtSettings).validate_python({"clock_skew": "0s"}).clock_skew == 0.0
    proofs = TypeAdapter(ProofSettings).validate_python({"max_age": "2m", "size": "4KiB", "replays": 1})
    assert proofs == ProofSettings(max_age=120.0, size=4096, replays=1)


@pytest.mark.parametrize(
    ("section", "values"),
    [
        (JwtSettings, {"any_typ": "true"}),
        (JwtSettings, {"algorithms": "RS256"}),
        (KeySettings, {"pause": "0s"}),
        (ProofSettings, {"max_age": "0s"}),
        (ProofSettings, {"replays": 0}),
        (ProofSettings, {"size": 8192}),
    ],
)
def test_an_invalid_value_is_an_error(section: Any, values: dict[str, Any]) -> None:
    """Nothing is coerced, and no limit is 0."""
    with pytest.raises(ValidationError):
        TypeAdapter(section).validate_python(values)
