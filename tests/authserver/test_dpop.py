"""Tokens that are bound to a key (RFC 9449) or a certificate (RFC 8705)."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import httpx
import pytest
from harness.signing import sign
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from authserver.app import build
from authserver.clients import Clients
from authserver.dpop import ALGORITHMS, proof_key_thumbprint
from authserver.errors import OAuthError
from authserver.store import TokenStore, open_store
from authserver.tokens import Token, digest

NOW = 1_800_000_000
TOKEN_ENDPOINT = "http://localhost:8085/ms-auth-server/oauth2/token"
KEY = ECKey.generate_key("P-256")
CLAIMS = {"jti": "a", "htm": "POST", "htu": TOKEN_ENDPOINT, "iat": NOW}
GRANT = {"grant_type": "client_credentials", "client_secret": "user-client-secret", "scope": "country.read"}
SERVICE = {"client_id": "service-client-jwt", "client_secret": "service-client-jwt-secret"}
THUMBPRINT = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"


def proof(key: Any = KEY, header: Mapping[str, Any] = {}, algorithm: str = "ES256", **claims: Any) -> str:
    """Return a signed proof; `header` and `claims` override the defaults, None removes a member."""
    members = {"typ": "dpop+jwt", "alg": algorithm, "jwk": key.as_dict(private=False), **header}
    payload = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    return sign({name: value for name, value in members.items() if value is not None}, payload, key, algorithm).decode()


def thumbprint(*proofs: str) -> str | None:
    return proof_key_thumbprint(proofs, method="POST", url=TOKEN_ENDPOINT, now=NOW)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_thumbprint_is_of_the_key_that_signed_the_proof(algorithm: str) -> None:
    """RFC 9449 §5, §6.1."""
    key = KEY if algorithm == "ES256" else RSAKey.generate_key(2048)
    assert thumbprint(proof(key, algorithm=algorithm)) == key.thumbprint()


def test_without_a_proof_there_is_no_thumbprint() -> None:
    """Such a token is not bound."""
    assert thumbprint() is None


@pytest.mark.parametrize("iat", [NOW - 60, NOW + 60])
def test_a_proof_is_valid_for_a_minute(iat: int) -> None:
    """Before and after its `iat`. Its URL is compared without query and fragment (RFC 9449 §4.3)."""
    assert thumbprint(proof(iat=iat, htu=TOKEN_ENDPOINT + "?a#b")) == KEY.thumbprint()


WRONG: dict[str, Callable[[], list[str]]] = {
    "two": lambda: [proof(), proof()],
    "not a JWS": lambda: ["x"],
    "not ASCII": lambda: ["é.é.é"],
    "no key": lambda: [proof(header={"jwk": None})],
    "a key that is not an object": lambda: [proof(header={"jwk": "x"})],
    "a private key": lambda: [proof(header={"jwk": KEY.as_dict(private=True)})],
    "another key": lambda: [proof(header={"jwk": ECKey.generate_key("P-256").as_dict(private=False)})],
    "another signature": lambda: [proof()[:-8] + "AAAAAAAA"],
    "another type": lambda: [proof(header={"typ": "jwt"})],
    "no type": lambda: [proof(header={"typ": None})],
    "another method": lambda: [proof(htm="GET")],
    "another URL": lambda: [proof(htu="http://localhost:8085/ms-auth-server/oauth2/introspect")],
    "expired": lambda: [proof(iat=NOW - 61)],
    "from the future": lambda: [proof(iat=NOW + 61)],
    "iat not a number": lambda: [proof(iat="x")],
    "no identifier": lambda: [proof(jti=None)],
    "no algorithm": lambda: [".".join(["eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6Im5vbmUifQ", *proof().split(".")[1:]])],
}


@pytest.mark.parametrize("wrong", WRONG)
def test_an_invalid_proof_is_an_error(wrong: str) -> None:
    """RFC 9449 §4.3, §5. It is not treated as an absent proof."""
    with pytest.raises(OAuthError) as refusal:
        thumbprint(*WRONG[wrong]())
    assert (refusal.value.code, refusal.value.status) == ("invalid_dpop_proof", 400)


async def granted(http: httpx.AsyncClient, client_id: str, *proofs: str) -> httpx.Response:
    fields = [("DPoP", value) for value in proofs]
    return await http.post(TOKEN_ENDPOINT, data={**GRANT, "client_id": client_id}, headers=fields)


async def introspected(http: httpx.AsyncClient, token: str) -> dict[str, Any]:
    response = await http.post("/ms-auth-server/oauth2/introspect", data={**SERVICE, "token": token})
    body: dict[str, Any] = response.json()
    return body


@pytest.mark.anyio
@pytest.mark.parametrize("client_id", ["user-client-opaque", "user-client-jwt"])
async def test_a_token_requested_with_a_proof_is_bound_to_its_key(http: httpx.AsyncClient, client_id: str) -> None:
    """RFC 9449 §5, §6: in the token response, the introspection response and a signed token."""
    response = (await granted(http, client_id, proof())).json()
    assert response["token_type"] == "DPoP"
    introspection = await introspected(http, response["access_token"])
    assert (introspection["active"], introspection["token_type"], introspection["cnf"]) == (
        True,
        "DPoP",
        {"jkt": KEY.thumbprint()},
    )
    if client_id == "user-client-jwt":
        keys = KeySet.import_key_set((await http.get("/ms-auth-server/oauth2/jwks")).json())
        assert jwt.decode(response["access_token"], keys).claims["cnf"] == introspection["cnf"]


@pytest.mark.anyio
async def test_an_invalid_proof_gets_no_token(http: httpx.AsyncClient) -> None:
    """Not even an unbound one."""
    response = await granted(http, "user-client-opaque", proof(htm="GET"))
    assert (response.status_code, response.json()["error"]) == (400, "invalid_dpop_proof")


@pytest.mark.anyio
async def test_tokens_of_a_client_with_a_certificate_are_bound_to_it(clients: Clients, store: TokenStore) -> None:
    """RFC 8705 §3: they are bearer tokens. Binding them to a key as well is an error."""
    client = clients["user-client-opaque"].model_copy(update={"certificate_thumbprint": THUMBPRINT})
    app = build(
        {**clients, "user-client-opaque": client}, store, TOKEN_ENDPOINT.removesuffix("/oauth2/token"), lambda: NOW
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost:8085") as http:
        response = (await granted(http, "user-client-opaque")).json()
        assert response["token_type"] == "Bearer"
        introspection = await introspected(http, response["access_token"])
        assert (introspection["token_type"], introspection["cnf"]) == ("Bearer", {"x5t#S256": THUMBPRINT})
        refused = await granted(http, "user-client-opaque", proof())
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")


def test_the_store_keeps_the_binding_of_a_token(tmp_path: Any) -> None:
    """Also in the file of a version without bound tokens, whose tokens stay unbound."""
    token = Token("1", "i", "c", ("a",), "s", 100, 200)
    path = tmp_path / "tokens.sqlite3"
    with open_store(path) as store:
        store.add(digest("old"), token, now=100)
        store._database.execute("ALTER TABLE token DROP COLUMN cnf")
    with open_store(path) as store:
        bound = replace(token, cnf={"jkt": "k"})
        store.add(digest("new"), bound, now=100)
        assert store.find(digest("old")) == token
        assert store.find(digest("new")) == bound
        assert json.dumps(bound.cnf) == '{"jkt": "k"}'
