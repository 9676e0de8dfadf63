"""The one reading of claims: equal for introspected and signed tokens, policy tests and tools."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
from harness.readings import FOREIGN, ISSUER, NOW, introspected, signed, visible
from harness.signing import text
from hypothesis import example, given
from hypothesis import strategies as st

from enforcer.analysis.policy_tests import TokenFacts
from enforcer.tokens.claims import NEVER, ActiveToken, ScopeClaims, read_claims, read_date
from enforcer.tokens.introspection.response import InactiveToken
from enforcer.tokens.jwt.fault import JwtFault

_POLICY_PAGE = (Path(__file__).parents[2] / "docs" / "policy.md").read_text()

READ: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"scope": "read"}, {"scopes": {"read"}}),
    ({"scope": "  read   write read"}, {"scopes": {"read", "write"}}),
    ({"scope": ["read", "write"]}, {"scopes": {"read", "write"}}),
    ({"scope": ["read", None]}, {"scopes": {"read"}}),
    ({"scope": ["read write", ""]}, {"scopes": set()}),
    ({"scope": 'read "write" a\\b réad read,write'}, {"scopes": {"read", "read,write"}}),
    ({"scope": "read\tadmin read\u00a0admin read\nadmin"}, {"scopes": set()}),
    (
        {"scope": "https://www.example.org/read urn:x:y READ"},
        {"scopes": {"https://www.example.org/read", "urn:x:y", "READ"}},
    ),
    ({"scope": None, "scp": "a b"}, {"scopes": {"a", "b"}}),
    ({"scp": ["a", "b"]}, {"scopes": {"a", "b"}}),
    ({"scope": "a", "scp": ["admin"]}, {"scopes": {"a"}}),
    ({"scope": "", "scp": ["admin"]}, {"scopes": set()}),
    ({"scope": [], "scp": ["admin"]}, {"scopes": set()}),
    ({"sub": "alice"}, {"subject": "alice"}),
    ({"sub": 42}, {"subject": "42", "claims": {"sub": "42"}}),
    ({"sub": -(10**30)}, {"subject": str(-(10**30))}),
    ({"sub": ""}, {"subject": ""}),
    ({"client_id": 7}, {"client_id": "7", "claims": {"client_id": "7"}}),
    ({"azp": "web"}, {"client_id": "web", "claims": {"client_id": "web", "azp": "web"}}),
    ({"azp": 7, "client_id": None}, {"client_id": "7"}),
    ({"client_id": "api", "azp": "web"}, {"client_id": "api"}),
    ({"aud": "a b"}, {"audience": {"a b"}, "claims": {"aud": "a b"}}),
    ({"aud": ["a", "b", "a"]}, {"audience": {"a", "b"}, "claims": {"aud": ["a", "b", "a"]}}),
    ({"aud": ["api", None]}, {"audience": {"api"}, "claims": {"aud": ["api"]}}),
    ({"aud": [1, "api"]}, {"audience": {"1", "api"}, "claims": {"aud": ["1", "api"]}}),
    ({"aud": 1}, {"audience": {"1"}, "claims": {"aud": "1"}}),
    ({"aud": []}, {"audience": set()}),
    ({"exp": "1700000060"}, {"expires": NOW + 60}),
    ({"exp": NOW + 0.5}, {"expires": NOW + 0.5}),
    ({"exp": 253402300799}, {"expires": 253402300799.0}),
    ({"cnf": {}}, {"bound": True}),
    ({"cnf": 0}, {"bound": True}),
    ({"cnf": None}, {"bound": False}),
    ({"nbf": NOW + 4, "iat": str(int(NOW) + 4)}, {}),
    ({"nbf": -1, "iat": "-1"}, {}),
    (dict.fromkeys(("nbf", "iat", "scope", "scp", "aud", "sub", "client_id", "azp", "cnf")), {"subject": None}),
]
"""Members, and how they are read."""

_NO_DATES: list[Any] = [
    *(1e300, 10**400, -(10**400), 253402300800, 1_700_000_000_000, 9223372036854775807, -1e15, True, False, [], {}),
    *("", "soon", "1.5", "1e9", " 1700000000", "1700000000\n", "0x10", "1_000", "+5", "٣", "9" * 16, [1_700_000_000]),
    *("Infinity", "nan", "2026-01-01T00:00:00Z"),
]
_NO_IDENTIFIERS: list[Any] = [True, False, 1.5, {}, [], ["root"], [1]]
UNREADABLE: list[tuple[str, Any]] = [
    *((name, value) for name in ("exp", "nbf", "iat") for value in _NO_DATES),
    *((name, value) for name in ("sub", "client_id") for value in _NO_IDENTIFIERS),
    *(("iss", value) for value in (1, *_NO_IDENTIFIERS)),
    *(("azp", value) for value in _NO_IDENTIFIERS),
    *(("scope", value) for value in (1, True, 1.5, {}, {"a": True}, [1], ["a", 1], [["a"]])),
    *(("scp", value) for value in (1, True, ["a", 1])),
    *(("aud", value) for value in (True, 1.5, {}, {"a": 1}, [["a"]], ["a", True], ["a", 1.0])),
]
"""Members that no token may have."""


@pytest.mark.parametrize(("members", "expected"), READ)
def test_a_claim_is_read_alike_from_both_kinds_of_tokens(members: dict[str, Any], expected: dict[str, Any]) -> None:
    """RFC 7662 §2.2, RFC 9068 §2.2: a rule cannot tell how the token was verified."""
    members = {"iss": ISSUER, "exp": NOW + 60, **members}
    response, jwt = introspected(text(members)), signed(text(members))
    assert isinstance(response, ActiveToken)
    assert isinstance(jwt, ActiveToken)
    read = visible(response)
    assert visible(jwt) == read
    for name in expected.keys() - {"claims"}:
        assert read[name] == expected[name]
    assert read["claims"].items() >= expected.get("claims", {}).items()
    assert visible(read_claims(jwt.claims)) == read


@pytest.mark.parametrize(("name", "value"), UNREADABLE)
def test_a_value_that_cannot_be_read_is_an_error_in_both(name: str, value: Any) -> None:
    """mod_auth_openidc 2026: never a default, such as "no expiry"; the error names the claim, and not the value."""
    members = {"iss": ISSUER, "exp": NOW + 60, name: value}
    said = introspected(text(members))
    assert isinstance(said, str)
    assert said.startswith(f"{name} is ")
    assert signed(text(members)) is JwtFault.CLAIMS
    with pytest.raises(ValueError, match=" is "):
        read_claims(members)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1e400"])
@pytest.mark.parametrize("name", ["nbf", "x"])
def test_a_number_beyond_any_parser_is_an_error_in_both(name: str, number: str) -> None:
    """RFC 8259 §6: one parser reads infinity, another one fails."""
    claims = f'{{"iss": "{ISSUER}", "exp": {NOW + 60}, "{name}": {number}}}'.encode()
    assert isinstance(introspected(claims), str)
    assert signed(claims) is JwtFault.CLAIMS


@pytest.mark.parametrize(
    "members",
    [
        *({"token_use": "refresh_token"}, {"token_use": "id_token"}),
        *({"typ": "Refresh"}, {"typ": "ID"}, {"typ": "Offline"}, {"typ": "Logout"}, {"typ": "refresh"}),
        *({"token_type": "refresh"}, {"token_type": "refresh_token"}, {"type": "refresh"}),
    ],
)
def test_only_an_access_token_is_active_in_both(members: dict[str, Any]) -> None:
    """A refresh or ID token may be active at the server, but gives no access; a policy test reads it so too."""
    assert isinstance(introspected(text(members)), InactiveToken)
    assert signed(text({"iss": ISSUER, "exp": NOW + 60, **members})) is JwtFault.TYPE
    assert isinstance(TokenFacts(claims=members).result(NOW), InactiveToken)


@pytest.mark.parametrize(
    "members",
    [
        *({"token_use": "access_token"}, {"typ": "Bearer"}, {"typ": ["Refresh"]}, {}),
        *({"token_type": "Bearer"}, {"token_type": "access"}, {"type": "access"}, {"type": "id"}),
    ],
)
def test_a_token_of_unnamed_type_is_an_access_token_in_both(members: dict[str, Any]) -> None:
    """Most servers do not name the type."""
    assert isinstance(introspected(text(members)), ActiveToken)
    assert isinstance(signed(text({"iss": ISSUER, "exp": NOW + 60, **members})), ActiveToken)


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_the_server_decides_whether_an_introspected_token_is_valid_already(name: str) -> None:
    """RFC 7662 §2.2, §4: `active` says so, by the server's clock. Nobody has decided it for a signed token."""
    for ahead in (0.7, 5.1, 3600):
        assert isinstance(introspected(text({name: NOW + ahead})), ActiveToken)
    members = {"iss": ISSUER, "exp": NOW + 9000}
    assert isinstance(signed(text({**members, name: NOW + 0.7})), ActiveToken)
    assert signed(text({**members, name: NOW + 5.1})) is JwtFault.NOT_YET_VALID


def test_a_policy_test_reads_claims_as_the_enforcer_does() -> None:
    """A test that expects a denial must not pass while the running enforcer allows."""
    token = TokenFacts(claims={"scp": ["admin"], "azp": "web", "iat": NOW}).result(NOW)
    assert isinstance(token, ActiveToken)
    assert (token.scopes, token.client_id) == (frozenset({"admin"}), "web")
    with pytest.raises(ValueError, match="nbf is not a date"):
        TokenFacts(claims={"nbf": "soon"})


@pytest.mark.parametrize(
    ("names", "members", "scopes"),
    [
        (["scope", "scp", "roles"], {"roles": ["a", "b"]}, {"a", "b"}),
        (["scope", "roles"], {"scope": "a", "roles": ["b"]}, {"a"}),
        (["roles", "scope"], {"scope": "a", "roles": ["b"]}, {"b"}),
        (["roles"], {"scope": "a"}, set()),
        (["scope", "roles"], {"scope": "", "roles": ["b"]}, set()),
        (["realm_access.roles"], {"realm_access": {"roles": ["a"]}}, {"a"}),
        (["realm_access.roles", "scope"], {"realm_access": {"x": 1}, "scope": "b"}, {"b"}),
        (["https://example.org/roles"], {"https://example.org/roles": ["a"]}, {"a"}),
        (["/resource_access/my.app/roles"], {"resource_access": {"my.app": {"roles": ["a"]}}}, {"a"}),
        (["/a~1b"], {"a/b": "x"}, {"x"}),
        (["/scp"], {"scp": "x"}, {"x"}),
    ],
)
def test_scopes_are_read_from_the_first_claim_that_the_token_has(
    names: list[str], members: dict[str, Any], scopes: set[str]
) -> None:
    """`scope_claims`, in both kinds of tokens: no other claim adds any, also if the first has none."""
    members, claims = {"iss": ISSUER, "exp": NOW + 60, **members}, ScopeClaims(names)
    for token in (introspected(text(members), claims), signed(text(members), claims)):
        assert isinstance(token, ActiveToken)
        assert token.scopes == scopes


@pytest.mark.parametrize("members", [{"a": {"b": 5}}, {"a": {"b": {"c": "d"}}}, {"a": "b"}, {"a": [{"b": "c"}]}])
def test_a_configured_claim_that_holds_no_scopes_is_an_error_in_both(members: dict[str, Any]) -> None:
    """Not a token without scopes: another claim might be meant."""
    claims = ScopeClaims(["a.b", "scope"])
    members = {"iss": ISSUER, "exp": NOW + 60, "scope": "x", **members}
    said = introspected(text(members), claims)
    assert isinstance(said, str)
    assert said.startswith("a.b is ")
    assert signed(text(members), claims) is JwtFault.CLAIMS


def test_claims_are_immutable_and_not_in_the_repr() -> None:
    """One result serves many requests, and logs must show no personal data."""
    members = {"sub": "a", "email": "s3cret@example.org"}
    result = read_claims(members)
    members["sub"] = "root"
    assert result.claims["sub"] == "a"
    with pytest.raises(TypeError):
        result.claims["sub"] = "root"  # type: ignore[index]
    assert "s3cret" not in repr(result)


@pytest.mark.parametrize("exp", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_not_a_date(exp: float) -> None:
    """No JSON has it, but a reader of another format may."""
    with pytest.raises(ValueError, match="exp is not a date"):
        read_date({"exp": exp}, "exp", NEVER)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_LIKELY = st.sampled_from([None, "a", "a b", ["a", "b"], ["a", None], 1, "1", True, NOW + 9, str(int(NOW) + 9), "ID"])
_NAMES = ["scope", "scp", "aud", "sub", "client_id", "azp", "cnf", "nbf", "iat", "typ", "token_use", "token_type", "x"]


@given(st.dictionaries(st.sampled_from(_NAMES), _LIKELY | _JSON, max_size=8), st.none() | _LIKELY | _JSON)
@example({}, 1e15)
def test_both_kinds_of_tokens_agree_on_any_claims(members: dict[str, Any], exp: Any) -> None:
    """Unreadable in one is unreadable in the other; active in both is the same token."""
    members = {**members, "iss": ISSUER, "exp": exp}
    response, jwt = introspected(text(members)), signed(text(members))
    if isinstance(response, str):
        assert jwt is JwtFault.CLAIMS
    elif isinstance(response, InactiveToken):
        assert jwt is JwtFault.TYPE
    elif isinstance(jwt, ActiveToken):
        assert visible(response) == visible(jwt)
    else:
        assert jwt in FOREIGN
        assert (jwt is JwtFault.NO_EXPIRY) == (response.expires == NEVER)
        assert (jwt is JwtFault.EXPIRED) == (response.expires <= NOW)
        assert (jwt is JwtFault.NOT_YET_VALID) <= (members.get("nbf") is not None or members.get("iat") is not None)


def test_the_page_lists_every_claim_that_is_read() -> None:
    """docs/policy.md, "How claims are read": one row for each."""
    section = _POLICY_PAGE.partition("## How claims are read")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named == {*_NAMES, "iss", "exp"} - {"x"}
