"""What plain scalars are to Kubernetes' tools."""

import pytest

from enforcer.kubernetes.scalars import resolve


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("http", "http"),
        ("true", True),
        ("Yes", True),
        ("OFF", False),
        ("y", "y"),
        ("tRue", "tRue"),
        ("", None),
        ("~", None),
        ("Null", None),
        ("8080", 8080),
        ("-1", -1),
        ("0", 0),
        ("0644", 420),
        ("0o644", 420),
        ("0x1F", 31),
        ("0b101", 5),
        ("1_000", 1000),
        ("08", 8.0),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("22:22", "22:22"),
        ("2026-01-01", "2026-01-01"),
        ("1.2.3", "1.2.3"),
        ("100m", "100m"),
        ("<<", "<<"),
    ],
)
def test_a_scalar_is_what_kubectl_takes_it_for(text: str, value: object) -> None:
    """YAML 1.1, without dates and numbers to the base 60."""
    found = resolve(text)
    assert (found, type(found)) == (value, type(value))
