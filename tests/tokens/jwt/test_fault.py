"""Faults of JWTs."""

from enforcer.tokens.jwt.fault import EXPLANATIONS, JwtFault


def test_each_fault_is_explained() -> None:
    """In the log and by `enforcer why`."""
    assert set(EXPLANATIONS) == set(JwtFault)
    assert all(EXPLANATIONS.values())
