"""JWT access tokens (RFC 9068): signature, type and claims."""

import hmac
import json
from typing import Any, get_args

import pytest
from harness.signing import key, public, sign, text
from hypothesis import example, given
from hypothesis import strategies as st

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.settings.jwt import Algorithm, JwtSettings
from enforcer.tokens.claims import ActiveToken, read_claims
from enforcer.tokens.introspection.response import InactiveToken
from enforcer.tokens.jwt.fault import JwtFault, RejectedToken
from enforcer.tokens.jwt.jwks import KeySet, parse
from enforcer.tokens.jwt.jws import MAX_BYTES, encode
from enforcer.tokens.jwt.jwt import MAX_CANDIDATES, NeedsKey, verify

NOW = 1_700_000_000.0
ISSUER = "https://auth.example.org"
SETTINGS = JwtSettings()
EC = key("ES256")
RSA = key("RS256")
ED = key("EdDSA")
KEYS = parse(text({"keys": [public(EC, kid="ec"), public(RSA, kid="rsa"), public(ED, kid="ed")]}))

# RFC 9068 §2.2
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "sub": "5ba552d67",
    "aud": "https://rs.example.com/",
    "exp": int(NOW) + 3600,
    "iat": int(NOW),
    "jti": "dbe39bf3a3ba4238a513f51d6e1691c4",
    "client_id": "s6BhdRkqt3",
    "scope": "openid profile reademail",
}
HEADER: dict[str, Any] = {"typ": "at+jwt", "alg": "ES256", "kid": "ec"}


def without(members: dict[str, Any], name: str) -> dict[str, Any]:
    return {other: value for other, value in members.items() if other != name}


def token(claims: Any = None, header: Any = None, **members: Any) -> bytes:
    """Sign with the key `ec`; `members` are changes to the claims."""
    return sign(HEADER if header is None else header, {**CLAIMS, **members} if claims is None else claims, EC, "ES256")


def read(signed: bytes, settings: JwtSettings = SETTINGS, keys: KeySet = KEYS, now: float = NOW) -> ActiveToken:
    result = verify(signed, keys, ISSUER, settings, now)
    assert isinstance(result, ActiveToken), result
    return result


def fault(signed: bytes, settings: JwtSettings = SETTINGS, keys: KeySet = KEYS, now: float = NOW) -> JwtFault:
    result = verify(signed, keys, ISSUER, settings, now)
    assert isinstance(result, RejectedToken), result
    return result.fault


def newer_keys_for(
    signed: bytes, settings: JwtSettings = SETTINGS, keys: KeySet = KEYS
) -> JwtFault | IntrospectionError:
    """Verify a token that needs newer keys; returns the outcome if these do not verify it either."""
    result = verify(signed, keys, ISSUER, settings, NOW)
    assert isinstance(result, NeedsKey), result
    return result.otherwise


def test_a_jwt_gives_the_same_result_as_an_introspection() -> None:
    """RFC 9068 §2.2: rules cannot distinguish the two."""
    result, introspected = read(token()), read_claims(CLAIMS)
    for name in ("scopes", "expires", "subject", "client_id", "issuer", "audience", "bound"):
        assert getattr(result, name) == getattr(introspected, name)
    assert dict(result.claims) == CLAIMS
    assert result.scopes == {"openid", "profile", "reademail"}


def test_the_binding_of_a_token_is_kept() -> None:
    """RFC 7800: the proof of possession is checked later."""
    result = read(token(cnf={"jkt": "x"}))
    assert result.bound
    assert result.claims["cnf"] == {"jkt": "x"}


def test_a_rejected_token_is_inactive() -> None:
    """Rules cannot distinguish the two; only the log names the reason."""
    assert isinstance(verify(token(exp=0), KEYS, ISSUER, SETTINGS, NOW), InactiveToken)


@pytest.mark.parametrize("algorithm", get_args(Algorithm))
def test_each_allowed_algorithm_is_accepted(algorithm: Algorithm) -> None:
    """RFC 8725 §3.1: another is rejected, even if its signature verifies."""
    private = key(algorithm)
    keys = parse(text({"keys": [public(private, kid="k")]}))
    signed = sign({**HEADER, "alg": algorithm, "kid": "k"}, CLAIMS, private, algorithm)
    read(signed, JwtSettings(algorithms=(algorithm,)), keys)
    others = tuple(other for other in get_args(Algorithm) if other != algorithm)
    assert fault(signed, JwtSettings(algorithms=others), keys) is JwtFault.ALGORITHM


def test_the_default_algorithms_are_those_that_servers_use() -> None:
    """RFC 9068 §2.1, RFC 8725 §3.2."""
    assert SETTINGS.algorithms == ("RS256", "PS256", "ES256", "EdDSA")


# Attacks on the algorithm and the key


@pytest.mark.parametrize(
    "alg", ["none", "None", "NONE", "nOnE", "", " none", "none ", "ES256 ", "es256", None, 1, [], ["ES256"], {}]
)
@pytest.mark.parametrize("signature", [b"", b"AA", token().rpartition(b".")[2]], ids=["empty", "short", "another's"])
def test_no_spelling_of_none_is_accepted(alg: Any, signature: bytes) -> None:
    """RFC 8725 §2.1: only a name of the list is an algorithm."""
    signed = encode(text({**HEADER, "alg": alg})) + b"." + encode(text(CLAIMS)) + b"." + signature
    assert fault(signed) is JwtFault.ALGORITHM


def test_an_algorithm_must_be_named() -> None:
    """RFC 7515 §4.1.1."""
    assert fault(token(header=without(HEADER, "alg"))) is JwtFault.ALGORITHM


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("kid", ["rsa", "ec", None])
def test_a_public_key_cannot_be_used_as_an_hmac_secret(algorithm: str, kid: str | None) -> None:
    """RFC 8725 §2.1: in whatever encoding an attacker uses it."""
    sloppy = JwtSettings(algorithms=(algorithm,))  # type: ignore[arg-type]
    signed = encode(text({**HEADER, "alg": algorithm, "kid": kid})) + b"." + encode(text(CLAIMS))
    for private in (RSA, EC):
        pem = private.as_pem(private=False)
        for secret in (pem, pem.strip(), private.as_der(private=False), text(public(private)), b""):
            mac = hmac.digest(secret, signed, f"sha{algorithm[2:]}")
            assert fault(signed + b"." + encode(mac)) is JwtFault.ALGORITHM
            assert not isinstance(verify(signed + b"." + encode(mac), KEYS, ISSUER, sloppy, NOW), ActiveToken)


def test_a_key_of_another_type_is_not_used() -> None:
    """The `kid` selects the key, and the key determines its algorithms."""
    assert newer_keys_for(token(header={**HEADER, "kid": "rsa"})) is JwtFault.KEY
    assert newer_keys_for(sign({**HEADER, "alg": "RS256"}, CLAIMS, RSA, "RS256")) is JwtFault.KEY


def test_a_key_for_another_algorithm_is_not_used() -> None:
    """RFC 7517 §4.4: a key for PS256 verifies no RS256."""
    keys = parse(text({"keys": [public(RSA, kid="rsa", alg="PS256")]}))
    header = {**HEADER, "kid": "rsa", "alg": "RS256"}
    assert newer_keys_for(sign(header, CLAIMS, RSA, "RS256"), keys=keys) is JwtFault.KEY
    read(sign({**header, "alg": "PS256"}, CLAIMS, RSA, "PS256"), keys=keys)


@pytest.mark.parametrize("kid", ["EC", "ec ", "", "../../dev/null", "' OR 1=1", "ec\0", "x" * 10_000, "\ud800"])
def test_an_unknown_kid_needs_newer_keys(kid: str) -> None:
    """It may be the next key; only the name is compared."""
    assert newer_keys_for(token(header={**HEADER, "kid": kid})) is JwtFault.KEY


@pytest.mark.parametrize("kid", [1, 0, True, [], ["ec"], {"ec": 1}])
def test_a_kid_is_text(kid: Any) -> None:
    """RFC 7515 §4.1.4."""
    assert fault(token(header={**HEADER, "kid": kid})) is JwtFault.MALFORMED


def test_without_a_kid_the_only_key_that_fits_is_used() -> None:
    """RFC 7515 §4.1.4: `kid` is optional."""
    read(token(header=without(HEADER, "kid")))
    read(token(header={**HEADER, "kid": None}))


def test_several_keys_that_fit_are_tried() -> None:
    """RFC 7515 §4.1.4: a token without a `kid`, or a server that uses one name twice."""
    second = key("ES256", 2)
    for kid in (None, "ec"):
        header = {**HEADER, "kid": kid}
        keys = parse(text({"keys": [public(second, kid="ec"), public(EC, kid="ec"), public(RSA, kid="ec")]}))
        for signer in (EC, second):
            read(sign(header, CLAIMS, signer, "ES256"), keys=keys)
        expected = JwtFault.KEY if kid is None else JwtFault.SIGNATURE
        assert newer_keys_for(sign(header, CLAIMS, key("ES256", 3), "ES256"), keys=keys) is expected


def test_only_a_few_keys_are_tried() -> None:
    """Bounded work; if the right key may be among the others, the token is not to blame."""
    signers = [key("ES256", number) for number in range(1, MAX_CANDIDATES + 2)]
    keys = parse(text({"keys": [public(signer) for signer in signers]}))
    tokens = [sign(without(HEADER, "kid"), CLAIMS, signer, "ES256") for signer in signers]
    for signed in tokens[:MAX_CANDIDATES]:
        read(signed, keys=keys)
    assert isinstance(newer_keys_for(tokens[-1], keys=keys), IntrospectionError)


def test_the_same_key_twice_is_not_ambiguous() -> None:
    """Under one name, two names, or none."""
    for names in ((None, None), ("a", "b"), ("ec", "ec"), (None, "ec")):
        keys = parse(text({"keys": [public(EC, kid=name) for name in names]}))
        read(token(header=without(HEADER, "kid")), keys=keys)


def test_a_kid_that_no_key_has_may_mean_a_key_without_a_kid() -> None:
    """RFC 7515 §4.1.4: it is a hint, and a server may publish keys without names."""
    read(token(), keys=parse(text({"keys": [public(EC)]})))
    assert newer_keys_for(token(), keys=parse(text({"keys": [public(key("ES256", 2))]}))) is JwtFault.KEY
    named = parse(text({"keys": [public(key("ES256", 2), kid="ec"), public(EC)]}))
    assert newer_keys_for(token(), keys=named) is JwtFault.SIGNATURE


def test_a_token_is_not_to_blame_for_a_key_that_cannot_be_used() -> None:
    """Newer keys may be right; until then the outcome is an error of the server, and never a rejection."""
    broken = {name: value for name, value in public(EC, kid="ec").items() if name != "y"}
    keys = parse(text({"keys": [broken, public(RSA, kid="rsa")]}))
    error = newer_keys_for(token(), keys=keys)
    assert isinstance(error, IntrospectionError)
    assert (error.reason, error.detail) == (IntrospectionFailure.MALFORMED, "its keys: key 'ec': y is missing")
    twice = parse(text({"keys": [broken, public(EC, kid="ec")]}))
    read(token(), keys=twice)


def test_a_wrong_signature_needs_newer_keys() -> None:
    """A server may have a new key under the same name, or have keys without names."""
    assert newer_keys_for(sign(HEADER, CLAIMS, key("ES256", 2), "ES256")) is JwtFault.SIGNATURE
    header = without(HEADER, "kid")
    for others in ([public(key("ES256", 2))], [public(RSA)]):
        assert newer_keys_for(token(header=header), keys=parse(text({"keys": others}))) is JwtFault.KEY


def test_a_token_of_another_issuer_needs_no_keys() -> None:
    """It would be rejected with any key, so that it causes no fetch; the name it gives is not trusted otherwise."""
    stranger = key("ES256", 3)
    for header in (HEADER, {**HEADER, "kid": "x"}, without(HEADER, "kid")):
        assert fault(sign(header, {**CLAIMS, "iss": "https://evil.example"}, stranger, "ES256")) is JwtFault.ISSUER
        assert isinstance(newer_keys_for(sign(header, without(CLAIMS, "iss"), stranger, "ES256")), JwtFault)


MINE = key("ES256", 3)
BROUGHT: dict[str, dict[str, Any]] = {
    "jwk": {"jwk": public(MINE)},
    "jwk with the name": {"jwk": public(MINE, kid="ec")},
    "jku": {"jku": "https://evil.example/jwks.json"},
    "x5u": {"x5u": "http://169.254.169.254/"},
    "x5c": {"x5c": ["MIIB"], "x5t": "x", "x5t#S256": "x"},
}


@pytest.mark.parametrize("members", BROUGHT.values(), ids=BROUGHT)
def test_a_key_in_the_token_is_ignored(members: dict[str, Any]) -> None:
    """RFC 8725 §3.10: it does not make a foreign signature valid, and does not invalidate the server's own."""
    assert newer_keys_for(sign({**HEADER, **members}, CLAIMS, MINE, "ES256")) is JwtFault.SIGNATURE
    assert newer_keys_for(sign({**HEADER, **members, "kid": "x"}, CLAIMS, MINE, "ES256")) is JwtFault.KEY
    read(token(header={**HEADER, **members}))


# Attacks on the form

SIGNED = token()


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(SIGNED.rpartition(b".")[0] + b".", id="signature cut off"),
        pytest.param(SIGNED[:-20], id="signature cut short"),
        pytest.param(SIGNED[:-86] + encode(bytes(64)), id="signature of zeros, CVE-2022-21449"),
        pytest.param(SIGNED[:-86] + encode(b"\xff" * 64), id="signature past the curve's order"),
        pytest.param(SIGNED + b"AA", id="signature with a tail"),
        pytest.param(SIGNED[:-86] + token(sub="x")[-86:], id="signature of another token"),
        pytest.param(SIGNED.replace(b".", b"." + encode(text({**CLAIMS, "scope": "admin"}))[:-80], 1), id="payload"),
    ],
)
def test_a_wrong_signature_is_rejected(other: bytes) -> None:
    """RFC 7515 §5.2."""
    result = verify(other, KEYS, ISSUER, SETTINGS, NOW)
    faults = {RejectedToken: {JwtFault.MALFORMED}, NeedsKey: {JwtFault.SIGNATURE}}
    assert isinstance(result, RejectedToken | NeedsKey)
    assert (result.fault if isinstance(result, RejectedToken) else result.otherwise) in faults[type(result)]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"a.b", id="two parts"),
        pytest.param(SIGNED + b".x.y", id="five parts"),
        pytest.param(SIGNED + b"=", id="padding"),
        pytest.param(SIGNED + b" ", id="blank"),
        pytest.param(token(header=[]), id="header is a list"),
        pytest.param(token(header=b'{"typ":"at+jwt","alg":"none","alg":"ES256","kid":"ec"}'), id="alg twice"),
        pytest.param(token(header={**HEADER, "crit": ["exp"]}), id="critical extension"),
        pytest.param(token(header={**HEADER, "crit": ["b64"], "b64": False}), id="payload not encoded"),
        pytest.param(token(header={**HEADER, "b64": False}), id="payload not encoded, and not critical"),
        pytest.param(token(header={**HEADER, "typ": ["at+jwt"]}), id="typ is a list"),
        pytest.param(token(header=b'{"alg":' + b"[" * 9000), id="header is a bomb"),
        pytest.param(token(x="x" * MAX_BYTES), id="huge"),
    ],
)
def test_a_token_that_is_not_a_jwt_is_malformed(other: bytes) -> None:
    """RFC 7515 §5.2, §4.1.11, RFC 7797 §6."""
    assert fault(other) is JwtFault.MALFORMED


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"\xff",
        text(CLAIMS)[:-1] + b', "scope": "admin"}',
        text(CLAIMS)[:-1] + b', "\\u0073cope": "admin"}',
        text(CLAIMS)[:-1] + b', "x": {"y": 1, "y": 2}}',
        text(CLAIMS)[:-1] + b', "x": NaN}',
        text(CLAIMS)[:-1] + b', "x": ' + b"[" * 9000 + b"]" * 9000 + b"}",
        text(CLAIMS)[:-1] + b', "x": ' + b'{"x":' * 50 + b"1" + b"}" * 51,
        SIGNED,
    ],
)
def test_ambiguous_claims_are_rejected(payload: bytes) -> None:
    """RFC 7519 §4: even if the server signed them."""
    assert fault(token(payload)) is JwtFault.CLAIMS


# typ


@pytest.mark.parametrize("typ", ["at+jwt", "application/at+jwt", "AT+JWT", "Application/At+Jwt"])
def test_an_access_token_has_its_type_in_the_header(typ: str) -> None:
    """RFC 9068 §4, RFC 7515 §4.1.9: a media type, whose case does not matter."""
    read(token(header={**HEADER, "typ": typ}))


OTHERS = [
    "dpop+jwt",
    "logout+jwt",
    "secevent+jwt",
    "token-introspection+jwt",
    "at+jwt ",
    "at+jwt;x=y",
    "x/at+jwt",
    "jwt ",
]


@pytest.mark.parametrize("typ", ["JWT", "jwt", "application/jwt", "", *OTHERS])
def test_a_token_of_another_type_is_rejected(typ: str) -> None:
    """RFC 8725 §3.11: an ID token or a logout token of the same server must not pass for an access token."""
    assert fault(token(header={**HEADER, "typ": typ})) is JwtFault.TYPE
    assert fault(token(header=without(HEADER, "typ"))) is JwtFault.TYPE


def test_any_typ_accepts_jwt_or_no_type() -> None:
    """Other types are still rejected."""
    settings = JwtSettings(any_typ=True)
    for typ in ("JWT", "jwt", "application/jwt", "at+jwt"):
        read(token(header={**HEADER, "typ": typ}), settings)
    read(token(header=without(HEADER, "typ")), settings)
    for typ in OTHERS:
        assert fault(token(header={**HEADER, "typ": typ}), settings) is JwtFault.TYPE


@pytest.mark.parametrize("members", [{"typ": "ID"}, {"typ": "Refresh"}, {"token_use": "id"}, {"token_use": "id_token"}])
def test_a_token_whose_claims_name_another_type_is_rejected(members: dict[str, str]) -> None:
    """Keycloak and Cognito sign all tokens with the same key and header."""
    settings = JwtSettings(any_typ=True)
    assert fault(token(header={**HEADER, "typ": "JWT"}, **members), settings) is JwtFault.TYPE
    for access in ({"typ": "Bearer"}, {"token_use": "access"}):
        read(token(header={**HEADER, "typ": "JWT"}, **access), settings)


# Claims


@pytest.mark.parametrize(
    "issuer", [ISSUER + "/", ISSUER.upper(), ISSUER + ":443", " " + ISSUER, "https://evil.example", "", None]
)
def test_another_issuer_is_rejected(issuer: str | None) -> None:
    """RFC 9068 §4: issuers are compared character by character."""
    assert fault(token(iss=issuer)) is JwtFault.ISSUER
    assert fault(token(without(CLAIMS, "iss"))) is JwtFault.ISSUER


def test_a_token_must_have_an_expiry() -> None:
    """RFC 9068 §2.2."""
    assert fault(token(exp=None)) is JwtFault.NO_EXPIRY
    assert fault(token(without(CLAIMS, "exp"))) is JwtFault.NO_EXPIRY
    assert fault(token(text(CLAIMS).replace(str(CLAIMS["exp"]).encode(), b"1e400"))) is JwtFault.CLAIMS


@pytest.mark.parametrize("expires", [NOW, NOW - 0.001, NOW - 1e6, 0, -1, 1.5])
def test_an_expired_token_has_no_grace_period(expires: float) -> None:
    """RFC 7519 §4.1.4: on or after the time."""
    assert fault(token(exp=expires)) is JwtFault.EXPIRED


@pytest.mark.parametrize("expires", [NOW + 0.001, NOW + 0.5, NOW + 1e9])
def test_a_token_is_active_until_it_expires(expires: float) -> None:
    """A NumericDate may have a fraction (RFC 7519 §2)."""
    assert read(token(exp=expires)).expires == expires


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_a_token_from_the_future_is_not_yet_valid(name: str) -> None:
    """RFC 7519 §4.1.5; a server's clock may be ahead by `clock_skew`, not more."""
    for ahead in (-1e9, 0, 4.9, 5):
        read(token(**{name: NOW + ahead}))
    for ahead in (5.1, 60, 1e9):
        assert fault(token(**{name: NOW + ahead})) is JwtFault.NOT_YET_VALID
    assert fault(token(**{name: NOW + 1}), JwtSettings(clock_skew=0.0)) is JwtFault.NOT_YET_VALID


_values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.lists(st.text())
_members = st.dictionaries(st.sampled_from([*CLAIMS, "nbf", "cnf", "scp", "azp", "x"]), _values)


@given(
    st.binary()
    | st.tuples(st.binary(), st.binary(), st.binary()).map(lambda parts: b".".join(map(encode, parts)))
    | st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk"]), _values | st.just("ES256")).map(
        lambda members: token(header=members)
    )
    | _members.map(lambda members: token(**members))
)
@example(encode(json.dumps({"alg": "\ud800", "typ": "at+jwt"}).encode()) + b"..")
def test_any_bytes_are_accepted_or_rejected(signed: bytes) -> None:
    """No exception."""
    assert isinstance(verify(signed, KEYS, ISSUER, SETTINGS, NOW), ActiveToken | RejectedToken | NeedsKey)


@given(
    st.sampled_from([*HEADER, *CLAIMS]),
    st.integers(0, 40),
    st.sampled_from("ſKİßŉǰﬁ①٣²\u2028\ud800\x00"),
    st.booleans(),
)
def test_an_odd_character_in_a_valid_member_makes_no_internal_error(
    name: str, index: int, character: str, replaces: bool
) -> None:
    """Its lower or folded form may be ASCII, or longer; it may be a digit that is not ASCII, or half a character."""
    before = str({**HEADER, **CLAIMS}[name])
    odd = before[:index] + character + before[index + replaces :]
    header = {**HEADER, name: odd} if name in HEADER else HEADER
    signed = token({**CLAIMS, **({} if name in HEADER else {name: odd})}, header)
    assert isinstance(verify(signed, KEYS, ISSUER, SETTINGS, NOW), ActiveToken | RejectedToken | NeedsKey)


@given(_members)
def test_an_active_token_is_of_the_issuer_and_has_not_expired(members: dict[str, Any]) -> None:
    """Even if a server signs wrong members by mistake."""
    result = verify(token(members), KEYS, ISSUER, SETTINGS, NOW)
    if isinstance(result, ActiveToken):
        assert result.issuer == ISSUER
        assert result.expires > NOW
