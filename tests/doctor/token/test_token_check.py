"""The diagnosis with a real token, at real servers: one test for each fault that a made-up token does not show."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.configs import config
from harness.issuers import Issuer, running_issuer
from harness.servers import response
from harness.signing import key, sign

from enforcer.cli._policy import loaded_policy
from enforcer.config.load import load_with_document
from enforcer.doctor.diagnosis import Finding, Verdict
from enforcer.doctor.token.token_check import check_token

TOKEN = "2YotnFZFEjr1zCsicMWpAA"
CLAIMS: dict[str, Any] = {"scope": "read", "sub": "alice", "client_id": "walker", "aud": "api"}
RULES = [{"name": "readers", "path": "/**", "scopes": ["read"]}]
Respond = Callable[[bytes, bytes], bytes | None]


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running_issuer({TOKEN: CLAIMS}) as issuer:
        yield issuer


def examine(
    folder: Path, servers: list[dict[str, Any]], token: str = TOKEN, rules: list[dict[str, Any]] = RULES, **changes: Any
) -> list[Finding]:
    client = {"client_id": "enforcer", "client_secret": {"env": "SECRET"}}
    settings = [{**({} if server.get("verify") == "jwt" else client), "timeout": "20s", **server} for server in servers]
    path = folder / "config.yaml"
    path.write_text(config("http://127.0.0.1:1", 1, authorization_servers=settings, rules=rules, **changes))
    loaded, document = load_with_document(path, {"SECRET": "s3cret"})
    findings = asyncio.run(check_token(loaded.config, loaded_policy(loaded, document).policy, token.encode()))
    assert token not in repr(findings)
    assert "alice" not in repr(findings)
    return findings


def not_right(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.what, finding.found) for finding in findings if finding.verdict is not Verdict.RIGHT]


def of(name: str, findings: list[Finding]) -> Finding:
    (finding,) = [finding for finding in findings if finding.what == name]
    return finding


def server(issuer: Issuer, **changes: Any) -> dict[str, Any]:
    return {"issuer": issuer.url, "audience": ["api"], **changes}


@pytest.mark.parametrize(
    "settings", [{}, {"own_token": {}}, {"signed_answers": True}, {"verify": "jwt_then_introspect"}], ids=str
)
def test_a_good_token_is_accepted(settings: dict[str, Any], issuer: Issuer, tmp_path: Path) -> None:
    """It is introspected once, in whatever way the settings say."""
    issuer.signs_responses = "signed_answers" in settings
    findings = examine(tmp_path, [server(issuer, **settings)])
    assert not_right(findings) == []
    assert of("verification", findings).found == "active: an opaque token, introspected at authorization server default"
    assert of("rules", findings).found == "its scopes meet 1 of 1 rule: readers"
    assert issuer.introspected_tokens == [TOKEN]


def test_a_good_jwt_is_verified_with_keys_and_sent_nowhere(issuer: Issuer, tmp_path: Path) -> None:
    """The finding shows how it is signed."""
    findings = examine(tmp_path, [server(issuer, verify="jwt")], issuer.jwt(scope="read", aud="api", sub="alice"))
    assert not_right(findings) == []
    assert of("verification", findings).found == (
        "active: a JWT (typ at+jwt, alg ES256, kid a), verified with the keys of authorization server default"
    )
    assert issuer.forms == []


def test_an_inactive_token_is_wrong(issuer: Issuer, tmp_path: Path) -> None:
    """Some servers report the tokens of other clients so: the advice says it."""
    findings = examine(tmp_path, [server(issuer)], "unknown")
    assert not_right(findings) == [
        ("verification", "an opaque token, introspected: authorization server default reports it as inactive")
    ]
    assert "tokens of other clients" in of("verification", findings).advice


def test_an_expired_jwt_that_is_introspected_says_so(issuer: Issuer, tmp_path: Path) -> None:
    """Although the server says only that it is inactive."""
    findings = examine(tmp_path, [server(issuer)], issuer.jwt(exp=int(time.time()) - 7300))
    assert of("exp", findings).found.startswith("expired 2 hours ago")


def only_for_the_token(issuer: Issuer, reply: bytes | None) -> None:
    """Have the issuer respond so to the real token, and correctly to every other."""
    regular = issuer.server.respond

    def respond(head: bytes, body: bytes) -> bytes | None:
        return reply if TOKEN.encode() in body else regular(head, body)

    issuer.server.respond = respond


ACTIVE = json.dumps({"active": True, **CLAIMS}).encode()


AS = "authorization server default"
DUPLICATE = ACTIVE[:-1] + b', "sub": "bob"}'
ENCODED = response(gzip.compress(ACTIVE), "200 OK", "Content-Encoding: gzip")


@pytest.mark.parametrize(
    ("reply", "details"),
    [
        (ENCODED, "the response is encoded (gzip)"),
        (response(b"{}", "401 No"), f"{AS} refuses to introspect this token: it answered 401 to our credentials"),
        (response(b"{}", "403 No"), f"{AS} refuses to introspect this token: it answered 403 to our credentials"),
        (response(b"", "500 Oops"), f"{AS} responds to this token with 500"),
        (response(b"{}"), f"the response of {AS} is not an introspection response (RFC 7662): "),
        (response(DUPLICATE), f"the response of {AS} is not an introspection response (RFC 7662): not a JSON object"),
        (response(b'{"error": "invalid_token"}', "400 No"), f"an opaque token, introspected: {AS} reports it as "),
        (response(b" " * 70_000), "the response is larger than max_answer"),
        (None, f"not verified: {AS}: the connection was closed"),
    ],
)
def test_a_response_that_only_active_tokens_get_is_examined(
    reply: bytes | None, details: str, issuer: Issuer, tmp_path: Path
) -> None:
    """A made-up token does not show it."""
    only_for_the_token(issuer, reply)
    finding = of("verification", examine(tmp_path, [server(issuer)]))
    assert finding.verdict is Verdict.WRONG
    assert finding.found.startswith(details)
    assert finding.advice


def test_a_response_that_is_not_signed_for_active_tokens_is_wrong(issuer: Issuer, tmp_path: Path) -> None:
    """Also one that is signed for another client."""
    issuer.signs_responses = True
    issuer.claims = {"aud": "another"}
    assert not_right(examine(tmp_path, [server(issuer, signed_answers=True)])) == [
        ("verification", "its signed response: wrong_audience (RFC 9701)")
    ]
    only_for_the_token(issuer, response(ACTIVE))
    assert not_right(examine(tmp_path, [server(issuer, signed_answers=True)]))[0] == (
        "verification", "its signed response: malformed (RFC 9701)",
    )  # fmt: skip


def test_a_slow_response_names_the_timeout(issuer: Issuer, tmp_path: Path) -> None:
    """The server responds to a made-up token at once, and never completes its response to this one."""
    only_for_the_token(issuer, b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n")
    finding = of("verification", examine(tmp_path, [server(issuer, timeout="200ms")]))
    assert finding.found == "no complete response of authorization server default within 0.2 s"


@pytest.mark.parametrize("signed", [False, True])
def test_every_claim_that_cannot_be_read_is_named(signed: bool, issuer: Issuer, tmp_path: Path) -> None:
    """The enforcer answers with 503, and its log names only the first."""
    issuer.signs_responses = signed
    issuer.tokens[TOKEN] = {**CLAIMS, "sub": {"id": 7}, "exp": 1_700_000_000_000}
    findings = examine(tmp_path, [server(issuer, signed_answers=signed)])
    assert not_right(findings) == [
        (
            "verification",
            "authorization server default reports it as active, but its response cannot be used: exp is not a date"
            if "exp" in of("verification", findings).found
            else "authorization server default reports it as active, but its response cannot be used: "
            "sub is not a string",
        ),
        ("sub", "sub is not a string, but an object"),
        ("exp", "exp is not a date: milliseconds, it seems"),
    ]


@pytest.mark.parametrize(
    ("header", "claims", "details", "advice"),
    [
        ({"typ": "JWT"}, {}, "its typ is not at+jwt", "set jwt.any_typ: true"),
        ({"alg": "HS256"}, {}, "its alg is not one of jwt.algorithms, but HS256", "an asymmetric key"),
        ({"alg": "ES384"}, {}, "its alg is not one of jwt.algorithms, but ES384", "add ES384 to jwt.algorithms"),
        ({"kid": "b"}, {}, "the server publishes no key with its kid", "compare the server's kid"),
        ({}, {"exp": None}, "it has no exp", "have the server write exp"),
        ({}, {"nbf": 4_000_000_000}, "its nbf or iat is in the future", "synchronise both machines"),
        ({}, {"exp": 1_700_000_000_000}, "a claim has a type or a value that it must not have", "see the claims below"),
        ({}, {"token_use": "id_token"}, "its claims say that it is an ID or refresh token", "send the access token"),
    ],
)
def test_a_rejected_jwt_says_why(
    header: dict[str, Any], claims: dict[str, Any], details: str, advice: str, issuer: Issuer, tmp_path: Path
) -> None:
    """The client sees only 401."""
    members = {"iss": issuer.url, "exp": int(time.time()) + 600, "scope": "read", "aud": "api", **claims}
    members = {name: value for name, value in members.items() if value is not None}
    token = sign({"typ": "at+jwt", "alg": "ES256", "kid": "a", **header}, members, key("ES256"), "ES256").decode()
    finding = of("verification", examine(tmp_path, [server(issuer, verify="jwt")], token))
    assert finding.verdict is Verdict.WRONG
    assert details in finding.found
    assert advice in finding.advice


def test_a_jwt_signed_with_another_key_is_rejected(issuer: Issuer, tmp_path: Path) -> None:
    """Its claims are shown nevertheless: it is the operator's own token."""
    token = issuer.jwt()
    issuer.key = key("ES256", 2)
    findings = examine(tmp_path, [server(issuer, verify="jwt")], token)
    assert "(wrong_signature)" in of("verification", findings).found
    assert of("exp", findings).verdict is Verdict.RIGHT


def test_an_opaque_token_cannot_be_verified_with_keys(issuer: Issuer, tmp_path: Path) -> None:
    """The advice names the setting that introspects it."""
    finding = of("verification", examine(tmp_path, [server(issuer, verify="jwt")]))
    assert finding.found == (
        "an opaque token, and authorization server default has verify: jwt, which accepts only JWTs"
    )
    assert "jwt_then_introspect" in finding.advice


def test_a_jwt_of_an_unknown_issuer_is_sent_to_no_server(issuer: Issuer, tmp_path: Path) -> None:
    """The finding names its issuer, and the one that a typing error made of it."""
    findings = examine(tmp_path, [server(issuer)], issuer.jwt(iss=f"{issuer.url}/"))
    assert not_right(findings) == [
        ("verification", f"its iss is {issuer.url}/, the issuer of no server: it is sent to none")
    ]
    assert issuer.forms == []
    assert not_right(examine(tmp_path, [server(issuer)], issuer.jwt(iss=7))) == [
        ("verification", "a JWT without iss, which is sent to no server")
    ]


@pytest.mark.parametrize(
    ("claims", "settings", "name", "details", "verdict"),
    [
        ({"iss": "https://b"}, {}, "iss", "https://b, but every rule requires {issuer}", Verdict.WRONG),
        ({"iss": None}, {}, "iss", "absent, and every rule requires {issuer}", Verdict.WRONG),
        ({"aud": "other"}, {}, "aud", "other, but every rule requires api", Verdict.WRONG),
        ({"aud": None}, {}, "aud", "absent, but every rule requires api", Verdict.WRONG),
        ({"aud": ["a", "b"]}, {"audience": []}, "aud",
         "a, b; no rule requires an audience, so tokens for other apps are accepted too", Verdict.WARNING),
        ({"scope": "write"}, {}, "rules", "its scopes meet none of 1 rule", Verdict.WRONG),
    ],
)  # fmt: skip
def test_a_token_that_no_rule_accepts_is_wrong(
    claims: dict[str, Any], settings: dict[str, Any], name: str, details: str, verdict: Verdict,
    issuer: Issuer, tmp_path: Path,
) -> None:  # fmt: skip
    """Although it is active: the settings require another issuer, audience or scope."""
    issuer.tokens[TOKEN] = {**CLAIMS, **claims}
    finding = of(name, examine(tmp_path, [server(issuer, **settings)]))
    assert (finding.found, finding.verdict) == (details.format(issuer=issuer.url), verdict)


def test_only_servers_that_a_request_would_ask_get_the_token(issuer: Issuer, tmp_path: Path) -> None:
    """In the order of the rule; the first one that knows it is the last."""
    with running_issuer() as first, running_issuer() as unused:
        servers = [server(each, name=name) for each, name in ((first, "a"), (issuer, "b"), (unused, "c"))]
        rule = {**RULES[0], "authorization_server": ["a", "b", "c"]}
        findings = examine(tmp_path, servers, rules=[rule])
        assert first.introspected_tokens == [TOKEN]
        assert issuer.introspected_tokens == []
        assert [finding.verdict for finding in findings] == [Verdict.WRONG, Verdict.RIGHT]
        findings = examine(tmp_path, servers, rules=[{**rule, "ask_in_order": True}])
        assert not_right(findings) == []
        assert findings[0].found == (
            "an opaque token, introspected: authorization server a reports it as inactive; the next server is asked"
        )
        assert (issuer.introspected_tokens, unused.introspected_tokens) == ([TOKEN], [])


def test_rules_are_counted_by_the_scopes_that_they_require(issuer: Issuer, tmp_path: Path) -> None:
    """Each on its own; public rules and rules of other servers read no such token."""
    rules: list[dict[str, Any]] = [
        {"name": "all", "path": "/a", "scopes": ["read", "write"]},
        {"name": "any", "path": "/b", "any_scope": ["read", "write"]},
        {"name": "either", "path": "/c", "any_of": [{"scopes": ["admin"]}, {"claims": {"tenant": "acme"}}]},
        {"name": "neither", "path": "/d", "any_of": [{"scopes": ["admin"]}, {"scopes": ["write"]}]},
        {"name": "own", "path": "/{tenant}/e", "scopes": ["{tenant}:read"]},
        {"name": "everybody", "path": "/f", "public": True},
        {"name": "closed", "path": "/g", "nobody": True},
        {"name": "several paths", "paths": ["/h", "/i"], "scopes": ["read"]},
    ]
    findings = examine(tmp_path, [server(issuer)], rules=rules)
    assert of("rules", findings).found == "its scopes meet 3 of 6 rules: any, either, several paths"
    assert of("claims", findings).found == "rules have conditions on tenant, which the token does not have"


def test_a_token_that_no_rule_reads_is_still_verified(issuer: Issuer, tmp_path: Path) -> None:
    """By the first server, as for a request that matches no rule."""
    findings = examine(tmp_path, [server(issuer)], rules=[{"name": "open", "path": "/**", "public": True}])
    assert not_right(findings) == [("rules", "no rule accepts tokens of this server")]


def test_a_token_larger_than_the_limit_is_wrong(issuer: Issuer, tmp_path: Path) -> None:
    """The enforcer refuses it before it asks anybody."""
    issuer.tokens["x" * 300] = CLAIMS
    findings = examine(tmp_path, [server(issuer)], "x" * 300, limits={"token": "200B"})
    assert not_right(findings) == [("size", "300 bytes, and limits.token is 200: requests with it are answered 431")]
