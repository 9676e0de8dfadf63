"""Findings about an authorization server's responses, one case at a time."""

import json
from dataclasses import replace
from typing import Any

import pytest
from harness.signing import key, public

from enforcer.doctor import response_checks
from enforcer.doctor.diagnosis import Finding, ServerResponse, Verdict
from enforcer.settings.authorization_server import ClientAuthentication

NOW = 784111777.0
URL = "https://auth.example.org/introspect"
ISSUER = "https://auth.example.org"


def reply(status: int = 200, body: Any = b"", **fields: str) -> ServerResponse:
    """Return a response; a body that is not bytes is encoded as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ServerResponse(
        URL, status, {name.replace("_", "-"): value for name, value in fields.items()}, content, False, NOW, NOW
    )


CREDENTIALS = {
    "inactive": (reply(body={"active": False}), Verdict.RIGHT, "a made-up token is reported as inactive"),
    "active": (reply(body={"active": True}), Verdict.WRONG, "a made-up token is reported as active"),
    "a page": (reply(body=b"<!doctype html><p>Sign in", content_type="text/html"), Verdict.WRONG, "a web page"),
    "a page that says nothing of it": (reply(body=b"\n <html>"), Verdict.WRONG, "a web page"),
    "other JSON": (reply(body={"keys": []}), Verdict.WRONG, "active is neither true nor false"),
    "nothing": (reply(), Verdict.WRONG, "not an introspection response"),
    "too large": (replace(reply(body={"active": False}), truncated=True), Verdict.WRONG, "larger than max_answer"),
    "unknown client": (reply(401, {"error": "invalid_client"}), Verdict.WRONG, "refused (401, invalid_client) with"),
    "without a code": (reply(403), Verdict.WRONG, "refused (403) with client_secret_basic"),
    "with a code to fool a terminal": (reply(400, {"error": "\x1b[2J"}), Verdict.WRONG, "refused (400) with"),
    "not its token": (
        reply(400, {"error": "unsupported_token_type"}),
        Verdict.RIGHT,
        "a made-up token is reported as inactive",
    ),
    "not there": (reply(404), Verdict.WRONG, "the server responds with 404"),
    "in trouble": (reply(503), Verdict.WRONG, "the server responds with 503"),
    "redirected": (reply(302, location="/login?token=x#y"), Verdict.WRONG, "to https://auth.example.org/login, and"),
    "redirected with a password": (reply(307, location="https://a:b@evil/"), Verdict.WRONG, "to another place, and"),
}


@pytest.mark.parametrize("case", CREDENTIALS)
def test_the_response_to_a_made_up_token_shows_whether_our_credentials_are_accepted(case: str) -> None:
    """RFC 7662 §2.2, §2.3: only an authorized client gets the response that the token is inactive."""
    response, verdict, details = CREDENTIALS[case]
    finding = response_checks.credentials(response, "client_secret_basic", None)
    assert (finding.what, finding.verdict) == ("credentials", verdict)
    assert details in finding.found


def test_another_way_to_authenticate_is_proposed_if_the_server_accepts_it() -> None:
    """The doctor has tried it."""
    finding = response_checks.credentials(reply(401), "client_secret_basic", "client_secret_post")
    assert finding.advice == "set client_authentication: client_secret_post, which the server accepts"


def metadata(document: dict[str, Any]) -> list[Finding]:
    """Return the findings for a metadata document; None leaves a member out."""
    members = {"issuer": ISSUER, "introspection_endpoint": URL, **document}
    present = {name: value for name, value in members.items() if value is not None}
    client: response_checks.Client = ("introspection_endpoint", "client_secret_basic")
    return response_checks.metadata(reply(body=present), ISSUER, {"introspection_endpoint": URL}, client)[1]


@pytest.mark.parametrize(
    ("document", "verdict", "details"),
    [
        ({}, Verdict.RIGHT, "issuer and introspection_endpoint match the server's metadata"),
        ({"issuer": ISSUER + "/"}, Verdict.WRONG, "the server's issuer is https://auth.example.org/"),
        ({"issuer": "https://auth.example.org/{tenantid}"}, Verdict.WRONG, "the server's issuer has a placeholder"),
        ({"issuer": "\x1b]0;"}, Verdict.WRONG, "it names another issuer, or this one in another spelling"),
        ({"issuer": None}, Verdict.WRONG, "it names another issuer, or this one in another spelling"),
        ({"introspection_endpoint": URL + "2"}, Verdict.WARNING, f"the server's introspection_endpoint is {URL}2"),
        ({"introspection_endpoint": None}, Verdict.WARNING, "the server's introspection_endpoint is not published"),
        (
            {"introspection_endpoint_auth_methods_supported": ["private_key_jwt"]},
            Verdict.WARNING,
            "the server does not offer client_secret_basic",
        ),
    ],
)
def test_metadata_is_compared_with_the_configuration(document: dict[str, Any], verdict: Verdict, details: str) -> None:
    """A different issuer gets every token refused. Other differences may be intended: warnings."""
    (finding,) = metadata(document)
    assert (finding.what, finding.verdict) == ("metadata", verdict)
    assert details in finding.found


def test_every_difference_is_a_finding() -> None:
    """Two differences are two findings."""
    differences = {"introspection_endpoint": URL + "2", "introspection_endpoint_auth_methods_supported": []}
    assert [finding.verdict for finding in metadata(differences)] == [Verdict.WARNING] * 2


KEYS = f"{ISSUER}/keys"


@pytest.mark.parametrize(
    ("names", "verdict", "details"),
    [
        (
            {"introspection_endpoint": None, "jwks_uri": None},
            Verdict.RIGHT,
            f"issuer matches the server's metadata; introspection_endpoint is {URL}; jwks_uri is {KEYS}",
        ),
        (
            {"introspection_endpoint": URL, "jwks_uri": KEYS},
            Verdict.RIGHT,
            "issuer, introspection_endpoint and jwks_uri match the server's metadata",
        ),
        (
            {"introspection_endpoint": URL, "jwks_uri": None},
            Verdict.RIGHT,
            f"issuer and introspection_endpoint match the server's metadata; jwks_uri is {KEYS}",
        ),
        ({"token_endpoint": None}, Verdict.WRONG, "the server publishes no token_endpoint"),
        ({"token_endpoint": URL}, Verdict.WARNING, "the server's token_endpoint is not published"),
    ],
)
def test_an_endpoint_that_is_not_set_must_be_published(names: Any, verdict: Verdict, details: str) -> None:
    """A configured endpoint that is not published gets a warning."""
    document = reply(body={"issuer": ISSUER, "introspection_endpoint": URL, "jwks_uri": KEYS})
    _, (finding,) = response_checks.metadata(document, ISSUER, names, None)
    assert (finding.verdict, finding.found) == (verdict, details)


@pytest.mark.parametrize(("needed", "verdict"), [(True, Verdict.WRONG), (False, Verdict.WARNING)])
def test_missing_metadata_is_wrong_only_if_an_endpoint_depends_on_it(needed: bool, verdict: Verdict) -> None:
    """Many servers publish no metadata."""
    assert response_checks.no_metadata("none", needed=needed).verdict is verdict


ES256 = {"keys": [public(key("ES256"), kid="a"), public(key("ES256"), kid="b")]}


@pytest.mark.parametrize(
    ("response", "verdict", "details"),
    [
        (reply(body=ES256), Verdict.RIGHT, "2 keys, for ES256"),
        (reply(body={"keys": [public(key("RS256"), alg="PS256")]}), Verdict.WRONG, "1 key, for PS256"),
        (reply(body={"keys": []}), Verdict.WRONG, "none of its keys can verify a signature"),
        (reply(body={"keys": [*ES256["keys"], *ES256["keys"]]}), Verdict.RIGHT, "2 keys, for ES256"),
        (
            reply(body={"keys": [*ES256["keys"], {"kty": "RSA", "kid": "short"}]}),
            *(Verdict.WRONG, "2 keys, for ES256; key 'short': n is missing"),
        ),
        (reply(body={"keys": [{"kty": "RSA", "kid": "short"}]}), Verdict.WRONG, "key 'short': n is missing"),
        (reply(body=b"<html>"), Verdict.WRONG, "not a key set (RFC 7517)"),
        (replace(reply(body=ES256), truncated=True), Verdict.WRONG, "larger than max_answer"),
        (reply(404), Verdict.WRONG, "the server responds with 404"),
        (reply(302, location="/elsewhere"), Verdict.WRONG, "to https://auth.example.org/elsewhere, and"),
        (reply(503), Verdict.WRONG, "the server responds with 503"),
    ],
)
def test_keys_must_fit_the_configured_algorithms(response: ServerResponse, verdict: Verdict, details: str) -> None:
    """Keys for other algorithms cannot verify any token."""
    finding = response_checks.keys(response, ["ES256", "RS256"])
    assert (finding.what, finding.verdict) == ("keys", verdict)
    assert details in finding.found


ISSUED = {"access_token": "secret-token", "token_type": "Bearer", "expires_in": 600}


@pytest.mark.parametrize(
    ("response", "verdict", "details", "advice"),
    [
        (reply(body=ISSUED), Verdict.RIGHT, "issued, for 600 s", ""),
        (reply(body={**ISSUED, "expires_in": None}), Verdict.RIGHT, "issued, for 300 s", ""),
        (reply(body={**ISSUED, "token_type": "DPoP"}), Verdict.WRONG, "token_type is not Bearer", "token_endpoint"),
        (reply(body=b"<html>"), Verdict.WRONG, "not a token response (RFC 6749)", "token_endpoint"),
        (reply(401, {"error": "invalid_client"}), Verdict.WRONG, "refused (401, invalid_client)", "client_secret"),
        (reply(400, {"error": "invalid_scope"}), Verdict.WRONG, "refused (400, invalid_scope)", "own_token.scopes"),
        (reply(404), Verdict.WRONG, "the server responds with 404", "token_endpoint"),
    ],
)
def test_our_own_token_is_checked_and_not_shown(
    response: ServerResponse, verdict: Verdict, details: str, advice: str
) -> None:
    """RFC 6749 §5.1, §5.2."""
    finding = response_checks.own_token(response, "client_secret_basic", None, 300.0)
    assert (finding.what, finding.verdict) == ("own token", verdict)
    assert details in finding.found
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
def test_the_advice_depends_on_the_way_to_authenticate(method: ClientAuthentication, advice: str) -> None:
    """A client without a secret is not advised to correct it."""
    finding = response_checks.credentials(reply(401), method, None)
    assert finding.found == f"refused (401) with {method}"
    assert advice in finding.advice
