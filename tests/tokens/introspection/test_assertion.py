"""`private_key_jwt`: client authentication with a signed assertion."""

import json
from urllib.parse import parse_qs

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from enforcer.secret import Secret
from enforcer.tokens.introspection.assertion import PrivateKeyJwt

NOW = 1_700_000_000.5
KEYS: dict[str, RSAKey | ECKey | OKPKey] = {
    "RS256": RSAKey.generate_key(2048),
    "ES256": ECKey.generate_key("P-256"),
    "ES384": ECKey.generate_key("P-384"),
    "EdDSA": OKPKey.generate_key("Ed25519"),
}


def form(authentication: PrivateKeyJwt) -> dict[str, str]:
    lines, parameters = authentication.credentials()
    assert lines == b""
    return {name: values[0] for name, values in parse_qs(parameters.decode()[1:], strict_parsing=True).items()}


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")  # and yet the name that servers know
@pytest.mark.parametrize("algorithm", KEYS)
def test_an_assertion_is_signed_and_has_the_required_claims(algorithm: str) -> None:
    """RFC 7523 §3: `iss` and `sub` are the client, `aud` the server, `exp` is soon."""
    key = KEYS[algorithm]
    sent = form(PrivateKeyJwt("me", Secret(key.as_pem(private=True).decode()), "https://as.example", lambda: NOW))
    assert sent["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert sent["client_id"] == "me"
    token = jwt.decode(sent["client_assertion"], key, algorithms=[algorithm])
    assert token.header["alg"] == algorithm
    claims = dict(token.claims)
    assert len(claims.pop("jti")) >= 20
    expected = {"iss": "me", "sub": "me", "aud": "https://as.example", "iat": int(NOW), "exp": int(NOW) + 60}
    assert claims == expected


def test_each_request_has_a_new_assertion() -> None:
    """A server may refuse a `jti` that it has seen."""
    authentication = PrivateKeyJwt("me", Secret(KEYS["ES256"].as_pem(private=True).decode()), "as", lambda: NOW)
    assert form(authentication)["client_assertion"] != form(authentication)["client_assertion"]


def test_the_kid_of_a_jwk_is_in_the_header() -> None:
    """With it the server can choose among several keys."""
    key = ECKey.generate_key("P-256", {"kid": "k1"})
    sent = form(PrivateKeyJwt("me", Secret(str(key.as_dict(private=True)).replace("'", '"')), "as", lambda: NOW))
    assert jwt.decode(sent["client_assertion"], key, algorithms=["ES256"]).header["kid"] == "k1"


def test_a_jwk_may_choose_the_algorithm() -> None:
    """If its key type supports it; any other algorithm is ignored."""
    for named, used in (("PS256", "PS256"), ("ES256", "RS256")):
        jwk = json.dumps({**KEYS["RS256"].as_dict(private=True), "alg": named})
        sent = form(PrivateKeyJwt("me", Secret(jwk), "as", lambda: NOW))
        assert jwt.decode(sent["client_assertion"], KEYS["RS256"], algorithms=[used]).header["alg"] == used


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("nonsense", id="nonsense"),
        pytest.param("", id="empty"),
        pytest.param(KEYS["ES256"].as_pem(private=False).decode(), id="a public key"),
        pytest.param(ECKey.generate_key("secp256k1").as_pem(private=True).decode(), id="of a curve that nobody takes"),
        pytest.param(OKPKey.generate_key("X25519").as_pem(private=True).decode(), id="a key that cannot sign"),
        pytest.param(str(OctKey.generate_key(256).as_dict(private=True)).replace("'", '"'), id="a symmetric key"),
    ],
)
def test_anything_but_a_private_signing_key_is_an_error(text: str) -> None:
    """Reported at load, without showing the text."""
    with pytest.raises(ValueError, match="not a private RSA, EC or Ed25519 key") as caught:
        PrivateKeyJwt("me", Secret(text), "as", lambda: NOW)
    assert text == "" or text not in str(caught.value)
