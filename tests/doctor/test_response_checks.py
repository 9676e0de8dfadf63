"""Findings about an authorization server's responses, one case at a time."""

import json
from functools import partial
from typing import Any

import pytest
from harness.signing import key, public

from enforcer.doctor import response_checks
from enforcer.doctor.diagnosis import Finding, ServerResponse, Verdict
from enforcer.errors import IntrospectionError
from enforcer.settings.authorization_server import ClientAuthentication
from enforcer.tokens.introspection import client_credentials
from enforcer.tokens.introspection.endpoint_result import authenticated_body, is_about_token, read_body, response_body
from enforcer.tokens.introspection.metadata import parse as parse_metadata
from enforcer.tokens.introspection.response import INACTIVE, IntrospectionOutcome, parse
from enforcer.tokens.jwt import jwks
from enforcer.wire.http_client import HttpResponse

NOW = 784111777.0
URL = "https://auth.example.org/introspect"
ISSUER = "https://auth.example.org"


def reply(status: int = 200, body: Any = b"", **fields: str) -> ServerResponse:
    """Return a response; a body that is not bytes is encoded as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ServerResponse(
        URL, status, {name.replace("_", "-"): value for name, value in fields.items()}, content, NOW, NOW
    )


def received(response: ServerResponse) -> HttpResponse:
    """Return a response as the code that serves gets it."""
    pieces = [(name.encode(), b": ", value.encode(), b"\r\n") for name, value in response.fields.items()]
    return HttpResponse(response.status, response.body, [piece for line in pieces for piece in line])


def introspected(response: ServerResponse) -> IntrospectionOutcome:
    """Return the outcome that the response has for requests."""
    http = received(response)
    return INACTIVE if is_about_token(http) else read_body(authenticated_body(http), parse)


def credentials(
    response: ServerResponse, method: response_checks.Method, accepted: ClientAuthentication | None = None
) -> Finding:
    return response_checks.credentials(introspected(response), response, method, accepted)


CREDENTIALS = {
    "inactive": (reply(body={"active": False}), Verdict.RIGHT, "a made-up token is reported as inactive"),
    "active": (reply(body={"active": True}), Verdict.WRONG, "a made-up token is reported as active"),
    "a page": (reply(body=b"<!doctype html><p>Sign in", content_type="text/html"), Verdict.WRONG, "a web page"),
    "a page that says nothing of it": (reply(body=b"\n <html>"), Verdict.WRONG, "a web page"),
    "other JSON": (reply(body={"keys": []}), Verdict.WRONG, "active is neither true nor false"),
    "nothing": (reply(), Verdict.WRONG, "not an introspection response"),
    "encoded": (reply(body=b"\x1f\x8b", content_encoding="gzip"), Verdict.WRONG, "the response is encoded (gzip)"),
    "unknown client": (reply(401, {"error": "invalid_client"}), Verdict.WRONG, "refused (401, invalid_client) with"),
    "without a code": (reply(403), Verdict.WRONG, "refused (403) with client_secret_basic"),
    "with a code to fool a terminal": (reply(400, {"error": "\x1b[2J"}), Verdict.WRONG, "refused (400) with"),
    "not its token": (
        reply(400, {"error": "unsupported_token_type"}),
        Verdict.RIGHT,
        "a made-up token is reported as inactive",
    ),
    "not there": (reply(404), Verdict.WRONG, "the server responds with 404"),
    "an error for unknown tokens": (
        reply(401, {"error": "invalid_token"}),
        Verdict.RIGHT,
        "a made-up token is reported as inactive",
    ),
    "in trouble": (reply(503), Verdict.WRONG, "the server responds to a made-up token with 503"),
    "too often": (reply(429, retry_after="30"), Verdict.WRONG, "too many requests, and asks to wait 30 s"),
    "redirected": (reply(302, location="/login?token=x#y"), Verdict.WRONG, "to https://auth.example.org/login, and"),
    "redirected with a password": (reply(307, location="https://a:b@evil/"), Verdict.WRONG, "to another place, and"),
}


@pytest.mark.parametrize("case", CREDENTIALS)
def test_the_response_to_a_made_up_token_shows_whether_our_credentials_are_accepted(case: str) -> None:
    """RFC 7662 §2.2, §2.3: only an authorized client gets the response that the token is inactive."""
    response, verdict, details = CREDENTIALS[case]
    finding = credentials(response, "client_secret_basic")
    assert (finding.what, finding.verdict) == ("credentials", verdict)
    assert details in finding.found


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        *((reply(status), True) for status in (204, 400, 401, 403, 404, 500)),
        (reply(400, {"error": "invalid_request"}), True),
        (reply(body={}), True),
        (reply(401, {"error": "invalid_client"}), False),
        *((reply(status), False) for status in (302, 429)),
        (reply(body=b"<html>"), False),
    ],
)
def test_a_response_that_may_be_due_to_the_made_up_token_says_so(response: ServerResponse, expected: bool) -> None:
    """Several servers respond so to unknown tokens, and are fine with others: then no credentials are to blame."""
    finding = credentials(response, "client_secret_basic")
    assert ("only for unknown tokens" in (finding.advice or "")) is expected


def test_another_way_to_authenticate_is_proposed_if_the_server_accepts_it() -> None:
    """The doctor has tried it."""
    finding = credentials(reply(401), "client_secret_basic", "client_secret_post")
    assert finding.advice == "set client_authentication: client_secret_post, which the server accepts"


def metadata(document: dict[str, Any]) -> list[Finding]:
    """Return the findings for a metadata document; None leaves a member out."""
    members = {"issuer": ISSUER, "introspection_endpoint": URL, **document}
    response = reply(body={name: value for name, value in members.items() if value is not None})
    outcome = read_body(response.body, partial(parse_metadata, issuer=ISSUER))
    if isinstance(outcome, IntrospectionError):
        return [response_checks.wrong_metadata(outcome, response, ISSUER)]
    client: response_checks.Client = ("introspection_endpoint", "client_secret_basic")
    return response_checks.metadata(outcome, response, {"introspection_endpoint": URL}, client)


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


def test_encoded_metadata_is_wrong() -> None:
    """The enforcer cannot read it, and no request asks for it."""
    response = reply(body=b"\x1f\x8b", content_encoding="gzip")
    outcome = read_body(response.body, partial(parse_metadata, issuer=ISSUER))
    assert isinstance(outcome, IntrospectionError)
    finding = response_checks.wrong_metadata(outcome, response, ISSUER)
    assert (finding.verdict, finding.found) == (Verdict.WRONG, "the response is encoded (gzip)")


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
    (finding,) = response_checks.metadata(parse_metadata(document.body, ISSUER), document, names, None)
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
        (reply(body=ES256, content_encoding="br"), Verdict.WRONG, "the response is encoded (br)"),
        (reply(404), Verdict.WRONG, "the server responds with 404"),
        (reply(302, location="/elsewhere"), Verdict.WRONG, "to https://auth.example.org/elsewhere, and"),
        (reply(503), Verdict.WRONG, "the server responds with 503"),
    ],
)
def test_keys_must_fit_the_configured_algorithms(response: ServerResponse, verdict: Verdict, details: str) -> None:
    """Keys for other algorithms cannot verify any token."""
    outcome = read_body(response_body(received(response)), jwks.parse)
    (finding,) = response_checks.keys(outcome, response, ["ES256", "RS256"])
    assert (finding.what, finding.verdict) == ("keys", verdict)
    assert details in finding.found


@pytest.mark.parametrize(
    ("document", "details", "advice"),
    [
        ({"keys": [{**ES256["keys"][0], "use": "enc"}]}, "a key set that cannot be used", "correct the keys"),
        ({"keys": [{**ES256["keys"][0], "d": "a"}]}, "a key set that cannot be used", "correct the keys"),
        ({"keys": {}}, "not a key set", "correct jwks_uri"),
        ({"issuer": ISSUER}, "not a key set", "correct jwks_uri"),
    ],
)
def test_the_advice_is_about_the_keys_if_the_document_has_keys(
    document: dict[str, Any], details: str, advice: str
) -> None:
    """Then the URL is mostly right."""
    response = reply(body=document)
    outcome = read_body(response_body(received(response)), jwks.parse)
    (finding,) = response_checks.keys(outcome, response, ["ES256"])
    assert details in finding.found
    assert (finding.advice or "").startswith(advice)


@pytest.mark.parametrize(("count", "verdict"), [(2, Verdict.WARNING), (6, Verdict.WRONG)])
@pytest.mark.parametrize(("kid", "name"), [("a", "with kid 'a'"), (None, "without kid")])
def test_different_keys_of_one_name_are_ambiguous(count: int, verdict: Verdict, kid: str | None, name: str) -> None:
    """Each is tried, but not any number of them."""
    members = {} if kid is None else {"kid": kid}
    document = reply(body={"keys": [public(key("ES256", number), **members) for number in range(count)]})
    _, finding = response_checks.keys(jwks.parse(document.body), document, ["ES256"])
    assert (finding.verdict, finding.found) == (verdict, f"{count} different keys {name}")


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
    outcome = read_body(authenticated_body(received(response)), partial(client_credentials.parse, lifetime=300.0))
    finding = response_checks.own_token(outcome, response, "client_secret_basic", None)
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
    finding = credentials(reply(401), method)
    assert finding.found == f"refused (401) with {method}"
    assert advice in finding.advice
