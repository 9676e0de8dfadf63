"""The authorization server over HTTP, in process: the walk's steps, errors and metadata."""

import re
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from authserver.app import MAX_FORM, build
from authserver.clients import Clients
from authserver.store import TokenStore

pytestmark = pytest.mark.anyio

OAUTH2 = "/ms-auth-server/oauth2"
OPAQUE = {"client_id": "user-client-opaque", "client_secret": "user-client-secret"}
JWT = {"client_id": "user-client-jwt", "client_secret": "user-client-secret"}
SERVICE = {"client_id": "service-client-jwt", "client_secret": "service-client-jwt-secret"}
GRANT = {"grant_type": "client_credentials"}
NOW = 1_800_000_000


async def post(http: httpx.AsyncClient, endpoint: str, **form: str) -> httpx.Response:
    return await http.post(f"{OAUTH2}/{endpoint}", data=form)


async def issued(http: httpx.AsyncClient, client: dict[str, str]) -> str:
    response = await post(http, "token", **GRANT, **client)
    return str(response.json()["access_token"])


async def introspected(http: httpx.AsyncClient, token: str) -> dict[str, Any]:
    response = await post(http, "introspect", **SERVICE, token=token)
    assert response.status_code == 200
    body: dict[str, Any] = response.json()
    return body


def is_json_and_not_stored(response: httpx.Response) -> bool:
    expected = {"content-type": "application/json", "cache-control": "no-store", "pragma": "no-cache"}
    return expected.items() <= dict(response.headers).items()


@pytest.mark.parametrize("now", [0.0, 0.5, 0.999999])
async def test_step_2_of_the_walk_returns_an_opaque_token(http: httpx.AsyncClient, clock: Any, now: float) -> None:
    """Members, types and values are right at any fraction of a second."""
    clock.now = NOW + now
    response = await post(http, "token", **GRANT, **OPAQUE, scope="country.read")
    assert response.status_code == 200
    assert is_json_and_not_stored(response)
    body = response.json()
    assert re.fullmatch(r"[A-Za-z0-9_-]{128}", body.pop("access_token"))
    assert body == {"scope": "country.read", "token_type": "Bearer", "expires_in": 14399}


@pytest.mark.parametrize("client", [OPAQUE, JWT], ids=["opaque", "jwt"])
async def test_step_4_of_the_walk_introspects_a_token(http: httpx.AsyncClient, client: dict[str, str]) -> None:
    """Members, types and values do not depend on the token format."""
    token = (await post(http, "token", **GRANT, **client, scope="country.read")).json()["access_token"]
    response = await post(http, "introspect", **SERVICE, token=token)
    assert response.status_code == 200
    assert is_json_and_not_stored(response)
    body = response.json()
    assert re.fullmatch(r"[0-9a-f-]{36}", body.pop("jti"))
    assert {
        "active": True,
        "sub": client["client_id"],
        "aud": [client["client_id"]],
        "nbf": NOW,
        "scope": "country.read",
        "iss": "http://localhost:8085/ms-auth-server",
        "exp": NOW + 14400,
        "iat": NOW,
        "client_id": client["client_id"],
        "token_type": "Bearer",
    } == body


async def test_a_signed_token_is_verified_with_the_published_keys(http: httpx.AsyncClient) -> None:
    """RFC 9068 §4. Its claims equal those of the introspection response."""
    token = await issued(http, JWT)
    keys = await http.get(f"{OAUTH2}/jwks")
    assert keys.status_code == 200
    verified = jwt.decode(token, KeySet.import_key_set(keys.json()), algorithms=["RS256"])
    assert verified.header["typ"] == "at+jwt"
    assert {"active": True, "token_type": "Bearer", **verified.claims} == await introspected(http, token)


async def test_a_token_expires(http: httpx.AsyncClient, clock: Any) -> None:
    """The introspection response of an expired token has no other member (RFC 7662 §2.2)."""
    token = await issued(http, OPAQUE)
    clock.now = NOW + 14399.999
    assert (await introspected(http, token))["active"] is True
    clock.now = NOW + 14400.0
    assert await introspected(http, token) == {"active": False}


async def test_a_revoked_token_is_introspected_like_an_unknown_one(http: httpx.AsyncClient) -> None:
    """RFC 7662 §2.2, RFC 7009 §2.2."""
    token = await issued(http, OPAQUE)
    revoked = await post(http, "revoke", **OPAQUE, token=token)
    assert revoked.status_code == 200
    assert {"active": False} == await introspected(http, token) == await introspected(http, "unknown")
    unknown = await post(http, "revoke", **OPAQUE, token="unknown")
    assert unknown.status_code == 200


async def test_a_client_authenticates_with_basic(http: httpx.AsyncClient) -> None:
    """Basic authentication works at every endpoint that takes a form."""
    for endpoint, form in (("token", GRANT), ("introspect", {"token": "x"}), ("revoke", {"token": "x"})):
        response = await http.post(
            f"{OAUTH2}/{endpoint}", data=form, auth=("service-client-jwt", "service-client-jwt-secret")
        )
        assert response.status_code == 200


@pytest.mark.parametrize("endpoint", ["token", "introspect", "revoke"])
@pytest.mark.parametrize("basic", [True, False])
async def test_wrong_credentials_get_401_and_a_challenge(
    http: httpx.AsyncClient, endpoint: str, *, basic: bool
) -> None:
    """RFC 6749 §5.2, RFC 7662 §2.3, RFC 7009 §2.2.1."""
    form = {**GRANT, "token": "x"}
    if basic:
        response = await http.post(f"{OAUTH2}/{endpoint}", data=form, auth=("user-client-jwt", "wrong"))
    else:
        response = await post(http, endpoint, **form, client_id="user-client-jwt", client_secret="wrong")
    assert response.status_code == 401
    assert is_json_and_not_stored(response)
    assert response.headers["www-authenticate"].startswith('Basic realm="')
    assert response.json()["error"] == "invalid_client"


@pytest.mark.parametrize(
    ("endpoint", "form", "status", "error"),
    [
        ("token", OPAQUE, 400, "invalid_request"),
        ("token", {**OPAQUE, "grant_type": "password"}, 400, "unsupported_grant_type"),
        ("token", {**OPAQUE, **GRANT, "scope": "admin"}, 400, "invalid_scope"),
        ("token", {**OPAQUE, **GRANT, "scope": ["country.read", "country.read"]}, 400, "invalid_request"),
        ("token", {**GRANT}, 401, "invalid_client"),
        ("introspect", {**SERVICE}, 400, "invalid_request"),
        ("introspect", {**OPAQUE, "token": "x"}, 403, "unauthorized_client"),
        ("revoke", {**OPAQUE}, 400, "invalid_request"),
    ],
)
async def test_an_error_response_has_the_form_of_rfc_6749(
    http: httpx.AsyncClient, endpoint: str, form: dict[str, Any], status: int, error: str
) -> None:
    """RFC 6749 §5.2: two members, and only allowed characters in the description."""
    response = await http.post(f"{OAUTH2}/{endpoint}", data=form)
    assert (status, error) == (response.status_code, response.json()["error"])
    assert is_json_and_not_stored(response)
    assert {"error", "error_description"} == set(response.json())
    assert re.fullmatch(r"[\x20\x21\x23-\x5b\x5d-\x7e]+", response.json()["error_description"])


async def test_credentials_in_the_url_are_not_read(http: httpx.AsyncClient) -> None:
    """RFC 6749 §2.3.1: credentials must not be in the URL."""
    response = await http.post(f"{OAUTH2}/token", params={**GRANT, **OPAQUE}, data={"scope": "country.read"})
    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")


async def test_a_json_body_is_an_invalid_request(http: httpx.AsyncClient) -> None:
    """RFC 6749 requires a form, but many clients try JSON."""
    response = await http.post(f"{OAUTH2}/token", json={**GRANT, **OPAQUE})
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


async def test_the_size_of_a_form_is_limited(http: httpx.AsyncClient) -> None:
    """A form of 64 KiB is accepted, one more byte gets 413."""
    form = "token=x&client_id=service-client-jwt&client_secret=service-client-jwt-secret&pad="
    headers = {"content-type": "application/x-www-form-urlencoded"}
    largest = await http.post(f"{OAUTH2}/introspect", content=form.ljust(MAX_FORM, "a"), headers=headers)
    larger = await http.post(f"{OAUTH2}/introspect", content=form.ljust(MAX_FORM + 1, "a"), headers=headers)
    assert [largest.status_code, larger.status_code] == [200, 413]
    assert is_json_and_not_stored(larger)


async def test_unknown_methods_and_paths_get_json_errors(http: httpx.AsyncClient) -> None:
    """A 405 response lists the allowed methods."""
    wrong_method = await http.get(f"{OAUTH2}/token")
    assert (wrong_method.status_code, wrong_method.headers["allow"]) == (405, "POST")
    nowhere = await http.get(f"{OAUTH2}/token/")
    assert nowhere.status_code == 404
    assert is_json_and_not_stored(wrong_method)
    assert is_json_and_not_stored(nowhere)


async def test_the_metadata_is_at_the_path_of_rfc_8414(http: httpx.AsyncClient, issuer: str) -> None:
    """RFC 8414 §3: the well-known part precedes the issuer's path. Every endpoint in the metadata exists."""
    response = await http.get("/.well-known/oauth-authorization-server/ms-auth-server")
    assert response.status_code == 200
    assert issuer == response.json()["issuer"]
    for name, url in response.json().items():
        if name.endswith(("_endpoint", "_uri")):
            reached = await http.request("GET" if name == "jwks_uri" else "POST", url)
            assert reached.status_code in {200, 400}


async def test_the_endpoints_are_below_the_path_of_the_issuer(clients: Clients, store: TokenStore) -> None:
    """The metadata is right for any issuer, also one without a path."""
    for issuer in ("https://as.example", "https://as.example/a/b"):
        transport = httpx.ASGITransport(app=build(clients, store, issuer))
        async with httpx.AsyncClient(transport=transport) as http:
            well_known = issuer.replace("as.example", "as.example/.well-known/oauth-authorization-server")
            metadata = (await http.get(well_known)).json()
            assert issuer == metadata["issuer"]
            response = await http.post(metadata["token_endpoint"], data={**GRANT, **OPAQUE})
            token = response.json()["access_token"]
            response = await http.post(metadata["introspection_endpoint"], data={**SERVICE, "token": token})
            assert issuer == response.json()["iss"]


async def test_the_default_clock_is_the_system_clock(clients: Clients, store: TokenStore, issuer: str) -> None:
    """Without the test's clock, a token is valid for four hours, with 14399 whole seconds left."""
    transport = httpx.ASGITransport(app=build(clients, store, issuer))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8085") as http:
        response = await post(http, "token", **GRANT, **OPAQUE)
        assert response.json()["expires_in"] == 14399
        body = await introspected(http, response.json()["access_token"])
        assert body["exp"] - body["iat"] == 14400
