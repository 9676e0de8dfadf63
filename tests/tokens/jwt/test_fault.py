"""Faults of JWTs."""

import re
from pathlib import Path

from enforcer.tokens.jwt.fault import EXPLANATIONS, JwtFault

_PAGE = (Path(__file__).parents[3] / "docs" / "authorization-servers.md").read_text()


def test_each_fault_is_documented() -> None:
    """In the table of docs/authorization-servers.md."""
    section = _PAGE.partition("### Why a JWT is rejected")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    assert re.findall(r"`(\w+)`", " ".join(rows)) == list(JwtFault)


def test_each_fault_is_explained() -> None:
    """In the log and by `enforcer why`."""
    assert set(EXPLANATIONS) == set(JwtFault)
    assert all(EXPLANATIONS.values())
