"""Findings about claims: each oddity that servers were seen to write, and the advice for it."""

from __future__ import annotations

from typing import Any

import pytest

from enforcer.doctor.diagnosis import Finding, Verdict
from enforcer.doctor.token.claims import TokenMembers, findings
from enforcer.secret import Secret
from enforcer.settings.authorization_server import AuthorizationServer
from enforcer.tokens.claims import read_claims

NOW = 1_700_000_000.0
GOOD = {"scope": "read write", "sub": "alice@example.org", "client_id": "walker", "exp": NOW + 3600, "iat": NOW - 60}


def about(members: dict[str, Any], *, signed: bool = False, required: str = "read", **settings: Any) -> list[Finding]:
    server = AuthorizationServer(
        issuer="https://auth.example.org", client_id="a", client_secret=Secret("b"), **settings
    )
    return findings(TokenMembers(members, server, NOW, signed, frozenset(required.split())))


def of(name: str, findings: list[Finding]) -> Finding:
    (finding,) = [finding for finding in findings if finding.what == name]
    return finding


def test_each_claim_of_a_good_token_is_listed() -> None:
    """In the order of the documentation, with dates in words."""
    findings = about({**GOOD, "active": True, "token_type": "Bearer", "tenant": "acme", "jti": "1"})
    assert [(finding.what, finding.found) for finding in findings] == [
        ("scope", "read, write, read as scopes"),
        ("sub", "read; not shown here"),
        ("client_id", "walker"),
        ("exp", "expires in 60 minutes (2023-11-14 23:13:20 UTC)"),
        ("iat", "60 seconds ago (2023-11-14 22:12:20 UTC)"),
        ("other claims", "jti, tenant; as they are, for claims in rules"),
    ]
    assert {finding.verdict for finding in findings} == {Verdict.RIGHT}


@pytest.mark.parametrize(
    ("name", "value", "details"),
    [
        ("exp", (NOW + 3600) * 1000, "exp is not a date: milliseconds, it seems"),
        ("exp", "1700003600000", "exp is not a date: milliseconds, it seems"),
        ("nbf", 2**63, "nbf is not a date: after the year 9999"),
        ("exp", "2023-11-14T23:13:20Z", "exp is not a date, but a text"),
        ("iat", True, "iat is not a date, but true or false"),
        ("sub", {"id": 7}, "sub is not a string, but an object"),
        ("sub", 1.5, "sub is not a string, but a number"),
        ("client_id", ["a"], "client_id is not a string, but a list with other values"),
        ("azp", True, "azp is not a string, but true or false"),
        ("aud", ["api", {"a": 1}], "aud is neither a string nor a list of strings, but a list with other values"),
        ("iss", 7, "iss is not a string, but a number"),
        ("scope", 7, "scope is neither a string nor a list of strings"),
        ("cnf", {"kid": "7"}, "bound to something that cannot be checked: the token is refused"),
        ("typ", "Refresh", "Refresh: not an access token, and treated as inactive"),
        ("token_use", "id_token", "id_token: not an access token, and treated as inactive"),
        ("token_type", "refresh", "refresh: not an access token, and treated as inactive"),
    ],
)
def test_a_claim_that_cannot_be_read_is_wrong(name: str, value: Any, details: str) -> None:
    """The advice says what the server should write. The other claims are listed all the same."""
    members = {**GOOD, name: value}
    if name == "azp":
        del members["client_id"]
    findings = about(members)
    finding = of(name, findings)
    assert (finding.verdict, finding.found) == (Verdict.WRONG, details)
    assert finding.advice
    assert [each.what for each in findings if each.verdict is Verdict.WRONG] == [name]


@pytest.mark.parametrize(
    "members",
    [
        {"sub": 7, "aud": ["api", None], "scope": ["read", None], "exp": "1700003600"},
        {"sub": None, "nbf": NOW + 4, "client_id": None, "azp": "walker"},
        {"cnf": {"jkt": "k"}, "typ": "Bearer", "token_use": "access"},
    ],
)
def test_an_oddity_that_is_read_is_not_wrong(members: dict[str, Any]) -> None:
    """The findings agree with the reading that serves."""
    read_claims({**GOOD, **members})
    assert {finding.verdict for finding in about({**GOOD, **members}, signed=True)} == {Verdict.RIGHT}


def test_an_integer_as_subject_is_named_but_not_shown() -> None:
    """Neither is any other subject, or a value that is for rules."""
    findings = about({**GOOD, "sub": 20240077, "email": "alice@example.org"})
    assert of("sub", findings).found == "read; not shown here; an integer, read as its digits"
    assert "20240077" not in repr(findings)
    assert "alice" not in repr(findings)


def test_a_token_without_expiry_depends_on_its_form() -> None:
    """An introspected token needs none, and a JWT does."""
    members = {name: value for name, value in GOOD.items() if name != "exp"}
    assert of("exp", about(members)).verdict is Verdict.RIGHT
    assert of("exp", about(members, signed=True)).found == "absent: a JWT without it is rejected"


def test_an_expired_token_says_since_when() -> None:
    """So that an old token is not taken for a wrong clock."""
    assert of("exp", about({**GOOD, "exp": NOW - 7300})).found == "expired 2 hours ago (2023-11-14 20:11:40 UTC)"
    assert of("exp", about({**GOOD, "exp": -1})).verdict is Verdict.WRONG


@pytest.mark.parametrize(
    ("signed", "ahead", "verdict"),
    [(True, 4, Verdict.RIGHT), (True, 40, Verdict.WRONG), (False, 4, Verdict.RIGHT), (False, 40, Verdict.WARNING)],
)
def test_a_beginning_in_the_future_is_the_clocks_fault(signed: bool, ahead: float, verdict: Verdict) -> None:
    """The server has checked that of an introspected token, so that it has no effect."""
    finding = of("nbf", about({**GOOD, "nbf": NOW + ahead}, signed=signed))
    assert finding.verdict is verdict
    assert finding.found.startswith(f"in {ahead} seconds ")


@pytest.mark.parametrize(
    ("members", "claims", "setting"),
    [
        ({"roles": ["read"]}, ("scope", "scp"), "[roles]"),
        ({"scope": "openid email", "realm_access": {"roles": ["read", "x"]}}, ("scope", "scp"), "[realm_access.roles]"),
        ({"scope": "", "scp": ["read"]}, ("scope", "scp"), "[scp]"),
        ({"resource_access": {"my.app": {"roles": ["read"]}}}, ("scope",), "[/resource_access/my.app/roles]"),
        ({"scope": "read"}, ("scp",), "[scope]"),
    ],
)
def test_scopes_in_another_claim_name_the_setting(
    members: dict[str, Any], claims: tuple[str, ...], setting: str
) -> None:
    """The claim is recognised by the scopes that rules require."""
    rest = {name: value for name, value in GOOD.items() if name != "scope"}
    (finding,) = [each for each in about({**rest, **members}, scope_claims=claims) if each.verdict is Verdict.WRONG]
    assert finding.advice == f"set scope_claims: {setting}"


def test_scopes_that_are_not_read_are_reported() -> None:
    """Those of a second claim, texts outside the grammar of scopes, and a token without any."""
    assert of("scope", about({**GOOD, "scp": ["x"]})).found == (
        "read, write, read as scopes; scp is there too, and ignored"
    )
    finding = of("scope", about({**GOOD, "scope": ["read", "team admin", "a b"]}))
    assert finding.found == "read, read as scopes; 2 texts left out: not a scope (RFC 6749 §3.3)"
    assert finding.verdict is Verdict.WARNING
    without = {name: value for name, value in GOOD.items() if name != "scope"}
    assert of("scope", about(without)).verdict is Verdict.WARNING
    assert of("scope", about(without, required="")).verdict is Verdict.RIGHT


def test_long_lists_and_texts_are_cut_and_escaped() -> None:
    """They come from a server, and go to a terminal."""
    members = {**GOOD, "scope": " ".join(f"s{number:02}" for number in range(50)), "client_id": "\x1b[31m" + "x" * 500}
    findings = about(members, required="")
    assert of("scope", findings).found.startswith("s00, s01, s02, s03, s04, s05, s06, s07, s08, s09 and 40 more, ")
    assert "\x1b" not in of("client_id", findings).found
    assert len(of("client_id", findings).found) < 120
