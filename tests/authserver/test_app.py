import re
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from authserver.app import MAX_FORM, build
from authserver.clients import Clients
from authserver.store import Store

pytestmark = pytest.mark.anyio

OAUTH2 = "/ms-auth-server/oauth2"
OPAQUE = {"client_id": "user-client-opaque", "client_secret": "user-client-secret"}
JWT = {"client_id": "user-client-jwt", "client_secret": "user-client-secret"}
SERVICE = {"client_id": "service-client-jwt", "client_secret": "service-client-jwt-secret"}
GRANT = {"grant_type": "client_credentials"}
NOW = 1_800_000_000


async def post(http: httpx.AsyncClient, act: str, **form: str) -> httpx.Response:
    return await http.post(f"{OAUTH2}/{act}", data=form)


async def issued(http: httpx.AsyncClient, client: dict[str, str]) -> str:
    answer = await post(http, "token", **GRANT, **client)
    return str(answer.json()["access_token"])


async def introspected(http: httpx.AsyncClient, token: str) -> dict[str, Any]:
    answer = await post(http, "introspect", **SERVICE, token=token)
    assert answer.status_code == 200
    document: dict[str, Any] = answer.json()
    return document


def is_json_and_not_stored(answer: httpx.Response) -> bool:
    wanted = {"content-type": "application/json", "cache-control": "no-store", "pragma": "no-cache"}
    return wanted.items() <= dict(answer.headers).items()


@pytest.mark.parametrize("moment", [0.0, 0.5, 0.999999])
async def test_step_2_of_the_walk_gives_an_opaque_token(http: httpx.AsyncClient, clock: Any, moment: float) -> None:
    """Members, types and values, at any moment of a second."""
    clock.now = NOW + moment
    answer = await post(http, "token", **GRANT, **OPAQUE, scope="country.read")
    assert answer.status_code == 200
    assert is_json_and_not_stored(answer)
    document = answer.json()
    assert re.fullmatch(r"[A-Za-z0-9_-]{128}", document.pop("access_token"))
    assert document == {"scope": "country.read", "token_type": "Bearer", "expires_in": 14399}


@pytest.mark.parametrize("client", [OPAQUE, JWT], ids=["opaque", "jwt"])
async def test_step_4_of_the_walk_tells_what_a_token_is_worth(http: httpx.AsyncClient, client: dict[str, str]) -> None:
    """Members, types and values, which do not depend on the format of the token."""
    token = (await post(http, "token", **GRANT, **client, scope="country.read")).json()["access_token"]
    answer = await post(http, "introspect", **SERVICE, token=token)
    assert answer.status_code == 200
    assert is_json_and_not_stored(answer)
    document = answer.json()
    assert re.fullmatch(r"[0-9a-f-]{36}", document.pop("jti"))
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
    } == document


async def test_a_signed_token_is_verified_with_the_published_keys(http: httpx.AsyncClient) -> None:
    """RFC 9068 §4: and its claims are what introspection tells."""
    token = await issued(http, JWT)
    keys = await http.get(f"{OAUTH2}/jwks")
    assert keys.status_code == 200
    verified = jwt.decode(token, KeySet.import_key_set(keys.json()), algorithms=["RS256"])
    assert verified.header["typ"] == "at+jwt"
    assert {"active": True, "token_type": "Bearer", **verified.claims} == await introspected(http, token)


async def test_a_token_expires_by_the_clock(http: httpx.AsyncClient, clock: Any) -> None:
    """RFC 7662 §2.2: then exactly this is told."""
    token = await issued(http, OPAQUE)
    clock.now = NOW + 14399.999
    assert (await introspected(http, token))["active"] is True
    clock.now = NOW + 14400.0
    assert await introspected(http, token) == {"active": False}


async def test_a_revoked_token_and_an_unknown_one_are_told_alike(http: httpx.AsyncClient) -> None:
    """RFC 7662 §2.2, RFC 7009 §2.2."""
    token = await issued(http, OPAQUE)
    revoked = await post(http, "revoke", **OPAQUE, token=token)
    assert revoked.status_code == 200
    assert {"active": False} == await introspected(http, token) == await introspected(http, "unknown")
    unknown = await post(http, "revoke", **OPAQUE, token="unknown")
    assert unknown.status_code == 200


async def test_a_client_authenticates_with_basic(http: httpx.AsyncClient) -> None:
    """At every endpoint that takes a form."""
    for act, form in (("token", GRANT), ("introspect", {"token": "x"}), ("revoke", {"token": "x"})):
        answer = await http.post(f"{OAUTH2}/{act}", data=form, auth=("service-client-jwt", "service-client-jwt-secret"))
        assert answer.status_code == 200


@pytest.mark.parametrize("act", ["token", "introspect", "revoke"])
@pytest.mark.parametrize("basic", [True, False])
async def test_wrong_credentials_are_401_with_a_challenge(http: httpx.AsyncClient, act: str, *, basic: bool) -> None:
    """RFC 6749 §5.2, RFC 7662 §2.3, RFC 7009 §2.2.1."""
    form = {**GRANT, "token": "x"}
    if basic:
        answer = await http.post(f"{OAUTH2}/{act}", data=form, auth=("user-client-jwt", "wrong"))
    else:
        answer = await post(http, act, **form, client_id="user-client-jwt", client_secret="wrong")
    assert answer.status_code == 401
    assert is_json_and_not_stored(answer)
    assert answer.headers["www-authenticate"].startswith('Basic realm="')
    assert answer.json()["error"] == "invalid_client"


@pytest.mark.parametrize(
    ("act", "form", "status", "error"),
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
async def test_a_refusal_is_the_error_of_rfc_6749(
    http: httpx.AsyncClient, act: str, form: dict[str, Any], status: int, error: str
) -> None:
    """§5.2: two members, and a description in the characters that it allows."""
    answer = await http.post(f"{OAUTH2}/{act}", data=form)
    assert (status, error) == (answer.status_code, answer.json()["error"])
    assert is_json_and_not_stored(answer)
    assert {"error", "error_description"} == set(answer.json())
    assert re.fullmatch(r"[\x20\x21\x23-\x5b\x5d-\x7e]+", answer.json()["error_description"])


async def test_credentials_in_the_url_are_not_read(http: httpx.AsyncClient) -> None:
    """RFC 6749 §2.3.1: they must not be there."""
    answer = await http.post(f"{OAUTH2}/token", params={**GRANT, **OPAQUE}, data={"scope": "country.read"})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_a_body_that_is_no_form_is_an_invalid_request(http: httpx.AsyncClient) -> None:
    """JSON, though many clients try it."""
    answer = await http.post(f"{OAUTH2}/token", json={**GRANT, **OPAQUE})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_a_form_has_a_limit(http: httpx.AsyncClient) -> None:
    """64 KiB are read, one byte more is refused."""
    form = "token=x&client_id=service-client-jwt&client_secret=service-client-jwt-secret&pad="
    headers = {"content-type": "application/x-www-form-urlencoded"}
    most = await http.post(f"{OAUTH2}/introspect", content=form.ljust(MAX_FORM, "a"), headers=headers)
    more = await http.post(f"{OAUTH2}/introspect", content=form.ljust(MAX_FORM + 1, "a"), headers=headers)
    assert [most.status_code, more.status_code] == [200, 413]
    assert is_json_and_not_stored(more)


async def test_other_methods_and_paths_are_refused_in_json(http: httpx.AsyncClient) -> None:
    """With the methods that a path has."""
    wrong_method = await http.get(f"{OAUTH2}/token")
    assert (wrong_method.status_code, wrong_method.headers["allow"]) == (405, "POST")
    nowhere = await http.get(f"{OAUTH2}/token/")
    assert nowhere.status_code == 404
    assert is_json_and_not_stored(wrong_method)
    assert is_json_and_not_stored(nowhere)


async def test_the_metadata_is_where_rfc_8414_looks_for_it(http: httpx.AsyncClient, issuer: str) -> None:
    """§3: the well-known part stands before the path of the issuer; and every endpoint it names is there."""
    answer = await http.get("/.well-known/oauth-authorization-server/ms-auth-server")
    assert answer.status_code == 200
    assert issuer == answer.json()["issuer"]
    for name, url in answer.json().items():
        if name.endswith(("_endpoint", "_uri")):
            there = await http.request("GET" if name == "jwks_uri" else "POST", url)
            assert there.status_code in {200, 400}


async def test_the_endpoints_lie_under_the_path_of_the_issuer(clients: Clients, store: Store) -> None:
    """So that the metadata is true for any issuer, one without a path too."""
    for issuer in ("https://as.example", "https://as.example/a/b"):
        transport = httpx.ASGITransport(app=build(clients, store, issuer))
        async with httpx.AsyncClient(transport=transport) as http:
            well_known = issuer.replace("as.example", "as.example/.well-known/oauth-authorization-server")
            metadata = (await http.get(well_known)).json()
            assert issuer == metadata["issuer"]
            answer = await http.post(metadata["token_endpoint"], data={**GRANT, **OPAQUE})
            token = answer.json()["access_token"]
            answer = await http.post(metadata["introspection_endpoint"], data={**SERVICE, "token": token})
            assert issuer == answer.json()["iss"]


async def test_the_server_tells_the_time_by_itself(clients: Clients, store: Store, issuer: str) -> None:
    """Without a clock of the test, four hours from now and 14399 whole seconds left."""
    transport = httpx.ASGITransport(app=build(clients, store, issuer))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8085") as http:
        answer = await post(http, "token", **GRANT, **OPAQUE)
        assert answer.json()["expires_in"] == 14399
        document = await introspected(http, answer.json()["access_token"])
        assert document["exp"] - document["iat"] == 14400
