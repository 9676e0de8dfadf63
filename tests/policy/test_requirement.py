"""Requirements: the parts of a request and of a token that the compiled conditions of a rule read."""

from __future__ import annotations

from typing import Any

import pytest

from enforcer.policy.request_view import RequestView
from enforcer.policy.requirement import Requirement, compile_rule
from enforcer.policy.rules import Conditions, Rule
from enforcer.tokens.claims import read_claims

REQUEST = RequestView(
    [b"7"],
    b"patient=7&page=2&service=git",
    lines=[b"X-Tenant", b": ", b"acme", b"\r\n", b"Accept", b": ", b"*/*", b"\r\n"],
    address="10.0.0.1",
)


def requirement(**conditions: Any) -> Requirement:
    """Return the compiled rule for the path /{id} with these conditions."""
    ((_, compiled),) = compile_rule(Rule(name="one", path="/{id}", **conditions))
    return compiled


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"scopes": ("read",)}, (b"", ())),
        ({"claims": {"patient": "{?patient}"}}, (b"patient=7", ())),
        ({"scopes": ("read",), "query": {"service": ("git",)}}, (b"service=git", ())),
        ({"any_scope": ("{#X-Tenant}.read",)}, (b"", (b"acme",))),
        ({"any_of": (Conditions(claims={"patient": "{?patient}"}), Conditions(scopes=("admin",)))}, (b"patient=7", ())),
    ],
)
def test_a_record_has_the_parts_that_conditions_read(
    conditions: dict[str, Any], expected: tuple[bytes, tuple[bytes, ...]]
) -> None:
    """And no other part of a query or field, which may hold secrets."""
    query, fields = requirement(**conditions).observed(REQUEST)
    assert (query, tuple(part for part in fields if part == b"acme")) == expected


def test_the_address_may_be_that_of_an_alternative() -> None:
    """So that a proxy whose clients are unknown is noticed."""
    assert not requirement(scopes=("read",)).reads_address
    assert requirement(scopes=("read",), addresses=("10.0.0.0/8",)).reads_address
    assert requirement(
        any_of=(Conditions(scopes=("read",), addresses=("10.0.0.0/8",)), Conditions(scopes=("admin",)))
    ).reads_address


@pytest.mark.parametrize(("auth_time", "met"), [(995, True), (900, False), ("soon", False), (None, False)])
def test_an_authentication_is_recent_if_its_time_can_be_read(auth_time: Any, met: bool) -> None:
    """RFC 9470: an absent or unreadable `auth_time` shows nothing."""
    token = read_claims({"active": True, "auth_time": auth_time})
    assert requirement(max_auth_age=60.0).meets_authentication(token, 1000.0) is met
