"""What is made of an authorization server's answers, each case by itself."""

import json
from dataclasses import replace
from typing import Any

import pytest
from harness.signing import key, public

from enforcer.doctor import response_checks
from enforcer.doctor.diagnosis import Finding, Seen, Verdict
from enforcer.settings.authorization_server import ClientAuthentication

NOW = 784111777.0
URL = "https://auth.example.org/introspect"
ISSUER = "https://auth.example.org"


def seen(status: int = 200, body: Any = b"", **fields: str) -> Seen:
    """Make an answer; what is not bytes is written as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Seen(
        URL, status, {name.replace("_", "-"): value for name, value in fields.items()}, content, False, NOW, NOW
    )


CREDENTIALS = {
    "inactive": (seen(body={"active": False}), Verdict.RIGHT, "a token that nobody issued is called inactive"),
    "active": (seen(body={"active": True}), Verdict.WRONG, "a token that nobody issued is called active"),
    "a page": (seen(body=b"<!doctype html><p>Sign in", content_type="text/html"), Verdict.WRONG, "a web page"),
    "a page that says nothing of it": (seen(body=b"\n <html>"), Verdict.WRONG, "a web page"),
    "other JSON": (seen(body={"keys": []}), Verdict.WRONG, "active is neither true nor false"),
    "nothing": (seen(), Verdict.WRONG, "no introspection answer"),
    "too large": (replace(seen(body={"active": False}), cut=True), Verdict.WRONG, "larger than max_answer"),
    "unknown client": (seen(401, {"error": "invalid_client"}), Verdict.WRONG, "refused (401, invalid_client) with"),
    "without a code": (seen(403), Verdict.WRONG, "refused (403) with client_secret_basic"),
    "with a code to fool a terminal": (seen(400, {"error": "\x1b[2J"}), Verdict.WRONG, "refused (400) with"),
    "not its token": (
        seen(400, {"error": "unsupported_token_type"}),
        Verdict.RIGHT,
        "a token that nobody issued is called inactive",
    ),
    "not there": (seen(404), Verdict.WRONG, "the server answers 404"),
    "in trouble": (seen(503), Verdict.WRONG, "the server answers 503"),
    "redirected": (seen(302, location="/login?token=x#y"), Verdict.WRONG, "to https://auth.example.org/login, and"),
    "redirected with a password": (seen(307, location="https://a:b@evil/"), Verdict.WRONG, "to another place, and"),
}


@pytest.mark.parametrize("case", CREDENTIALS)
def test_the_answer_to_a_junk_token_tells_of_our_credentials(case: str) -> None:
    """RFC 7662 §2.2 and §2.3: who may ask is told that the token is inactive, and nobody else is."""
    answer, verdict, found = CREDENTIALS[case]
    finding = response_checks.credentials(answer, "client_secret_basic", None)
    assert (finding.what, finding.verdict) == ("credentials", verdict)
    assert found in finding.found


def test_a_way_to_authenticate_that_the_server_accepts_is_proposed() -> None:
    """It was tried, so that nobody has to."""
    finding = response_checks.credentials(seen(401), "client_secret_basic", "client_secret_post")
    assert finding.advice == "set client_authentication: client_secret_post, which the server accepts"


def metadata(document: dict[str, Any]) -> list[Finding]:
    """Judge a metadata document; None leaves a member out."""
    members = {"issuer": ISSUER, "introspection_endpoint": URL, **document}
    present = {name: value for name, value in members.items() if value is not None}
    return response_checks.metadata(
        seen(body=present),
        ISSUER,
        {"introspection_endpoint": URL},
        ("introspection_endpoint", "client_secret_basic"),
    )


@pytest.mark.parametrize(
    ("document", "verdict", "found"),
    [
        ({}, Verdict.RIGHT, "issuer and introspection_endpoint are as the server says"),
        ({"issuer": ISSUER + "/"}, Verdict.WRONG, "the server calls itself https://auth.example.org/"),
        ({"issuer": "\x1b]0;"}, Verdict.WRONG, "it is another issuer's, or names the issuer in another way"),
        ({"issuer": None}, Verdict.WRONG, "it is another issuer's, or names the issuer in another way"),
        ({"introspection_endpoint": URL + "2"}, Verdict.WARNING, f"the server's introspection_endpoint is {URL}2"),
        ({"introspection_endpoint": None}, Verdict.WARNING, "the server's introspection_endpoint is not there"),
        (
            {"introspection_endpoint_auth_methods_supported": ["private_key_jwt"]},
            Verdict.WARNING,
            "the server does not offer client_secret_basic",
        ),
    ],
)
def test_metadata_is_compared_with_the_configuration(document: dict[str, Any], verdict: Verdict, found: str) -> None:
    """Another issuer refuses every token; all else may be meant, and is only pointed at."""
    (finding,) = metadata(document)
    assert (finding.what, finding.verdict) == ("metadata", verdict)
    assert found in finding.found


def test_all_that_metadata_tells_is_said() -> None:
    """Two differences make two findings."""
    differences = {"introspection_endpoint": URL + "2", "introspection_endpoint_auth_methods_supported": []}
    assert [finding.verdict for finding in metadata(differences)] == [Verdict.WARNING] * 2


KEYS = f"{ISSUER}/keys"


@pytest.mark.parametrize(
    ("names", "verdict", "found"),
    [
        (
            {"introspection_endpoint": None, "jwks_uri": None},
            Verdict.RIGHT,
            f"issuer is as the server says; introspection_endpoint is {URL}; jwks_uri is {KEYS}",
        ),
        (
            {"introspection_endpoint": URL, "jwks_uri": KEYS},
            Verdict.RIGHT,
            "issuer, introspection_endpoint and jwks_uri are as the server says",
        ),
        (
            {"introspection_endpoint": URL, "jwks_uri": None},
            Verdict.RIGHT,
            f"issuer and introspection_endpoint are as the server says; jwks_uri is {KEYS}",
        ),
        ({"token_endpoint": None}, Verdict.WRONG, "the server names no token_endpoint"),
        ({"token_endpoint": URL}, Verdict.WARNING, "the server's token_endpoint is not there"),
    ],
)
def test_an_endpoint_that_is_not_set_must_be_told(names: Any, verdict: Verdict, found: str) -> None:
    """One that is set and not told may be meant."""
    document = seen(body={"issuer": ISSUER, "introspection_endpoint": URL, "jwks_uri": KEYS})
    (finding,) = response_checks.metadata(document, ISSUER, names, None)
    assert (finding.verdict, finding.found) == (verdict, found)


@pytest.mark.parametrize(("needed", "verdict"), [(True, Verdict.WRONG), (False, Verdict.WARNING)])
def test_that_there_is_no_metadata_is_wrong_where_it_must_tell_something(needed: bool, verdict: Verdict) -> None:
    """Many servers publish none."""
    assert response_checks.no_metadata("none", needed=needed).verdict is verdict


ES256 = {"keys": [public(key("ES256"), kid="a"), public(key("ES256"), kid="b")]}


@pytest.mark.parametrize(
    ("answer", "verdict", "found"),
    [
        (seen(body=ES256), Verdict.RIGHT, "2 keys, for ES256"),
        (seen(body={"keys": [public(key("RS256"), alg="PS256")]}), Verdict.WRONG, "1 key, for PS256"),
        (seen(body={"keys": []}), Verdict.WRONG, "none of its keys can verify a signature"),
        (seen(body=b"<html>"), Verdict.WRONG, "no keys (RFC 7517)"),
        (replace(seen(body=ES256), cut=True), Verdict.WRONG, "larger than max_answer"),
        (seen(404), Verdict.WRONG, "the server answers 404"),
        (seen(302, location="/elsewhere"), Verdict.WRONG, "to https://auth.example.org/elsewhere, and"),
        (seen(503), Verdict.WRONG, "the server answers 503"),
    ],
)
def test_keys_are_judged_by_what_tokens_may_be_signed_with(answer: Seen, verdict: Verdict, found: str) -> None:
    """Keys that fit no algorithm of the settings verify nothing."""
    finding = response_checks.keys(answer, ["ES256", "RS256"])
    assert (finding.what, finding.verdict) == ("keys", verdict)
    assert found in finding.found


GIVEN = {"access_token": "secret-token", "token_type": "Bearer", "expires_in": 600}


@pytest.mark.parametrize(
    ("answer", "verdict", "found", "advice"),
    [
        (seen(body=GIVEN), Verdict.RIGHT, "given, for 600 s", ""),
        (seen(body={**GIVEN, "expires_in": None}), Verdict.RIGHT, "given, for 300 s", ""),
        (seen(body={**GIVEN, "token_type": "DPoP"}), Verdict.WRONG, "token_type is not Bearer", "token_endpoint"),
        (seen(body=b"<html>"), Verdict.WRONG, "no token answer (RFC 6749)", "token_endpoint"),
        (seen(401, {"error": "invalid_client"}), Verdict.WRONG, "refused (401, invalid_client)", "client_secret"),
        (seen(400, {"error": "invalid_scope"}), Verdict.WRONG, "refused (400, invalid_scope)", "own_token.scopes"),
        (seen(404), Verdict.WRONG, "the server answers 404", "token_endpoint"),
    ],
)
def test_the_token_for_us_is_judged_and_not_shown(answer: Seen, verdict: Verdict, found: str, advice: str) -> None:
    """RFC 6749 §5.1, §5.2."""
    finding = response_checks.own_token(answer, "client_secret_basic", None, 300.0)
    assert (finding.what, finding.verdict) == ("own token", verdict)
    assert found in finding.found
    assert advice in finding.advice
    assert "secret-token" not in repr(finding)


@pytest.mark.parametrize(
    ("method", "advice"),
    [
        ("client_secret_post", "correct client_id and client_secret, and let"),
        ("private_key_jwt", "register the public part of client_key"),
        ("tls_client_auth", "register the certificate in tls"),
        ("own_token", "correct own_token.scopes"),
    ],
)
def test_what_to_correct_follows_from_the_way_to_authenticate(method: ClientAuthentication, advice: str) -> None:
    """Whoever has no secret cannot correct it."""
    finding = response_checks.credentials(seen(401), method, None)
    assert finding.found == f"refused (401) with {method}"
    assert advice in finding.advice
