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
@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer", b"DPoP"])
def test_a_purge_covers_a_token_by_its_value_or_its_claims(kind: str, value: str, covered: bool, scheme: bytes) -> None:
    """In whichever scheme and spelling the token was sent."""
    for credentials in (scheme + b" abc", scheme + b"  abc \t", b"\t" + scheme + b" abc"):
        assert Purge(kind, value).covers(ALICE, credentials) is covered


def test_a_purge_covers_no_request_without_a_token() -> None:
    """A public rule needs none, and ignores what was sent."""
    assert not Purge("token", "abc").covers(None, b"Bearer abc")
    assert not Purge("subject", "alice").covers(ALICE, None)
