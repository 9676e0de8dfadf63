"""Purges: the tokens that they cover."""

from __future__ import annotations

import pytest

from enforcer.tokens.claims import read_claims
from enforcer.tokens.purge import Purge

ALICE = read_claims({"sub": "alice", "client_id": "web"})


@pytest.mark.parametrize(
    ("kind", "value", "covered"),
    [
        ("token", "abc", True),
        ("token", "Bearer abc", False),
        ("token", "\ud800", False),
        ("subject", "alice", True),
        ("subject", "web", False),
        ("client_id", "web", True),
        ("client_id", "alice", False),
    ],
)
def test_a_purge_covers_a_token_by_its_value_or_its_claims(kind: str, value: str, covered: bool) -> None:
    """Of one kind: a subject may have the name of a client."""
    assert Purge(kind, value).covers(ALICE, b"abc") is covered


def test_a_purge_covers_no_request_without_a_token() -> None:
    """A public rule needs none, and ignores what was sent."""
    assert not Purge("token", "abc").covers(None, b"abc")
    assert not Purge("subject", "alice").covers(ALICE, None)
