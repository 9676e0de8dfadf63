"""JSON Web Keys and key sets (RFC 7517)."""

import json
from typing import Any, get_args

import pytest
from harness.certificates import certificate_of
from harness.signing import key, public, sign
from hypothesis import given
from hypothesis import strategies as st

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.settings.jwt import Algorithm
from enforcer.tokens.jwt.jwks import MAX_KEYS, Key, KeySet, describe, parse, read_key, thumbprint
from enforcer.tokens.jwt.jws import decode, encode

# RFC 7638 §3.1
RSA = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWK"
    "RXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMic"
    "AtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3"
    "XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}
# RFC 7515 A.3, RFC 8037 A.2
EC = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
OKP = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}

ALL_RSA = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}


def read(members: Any) -> Key:
    result = read_key(members)
    assert result is not None
    return result


def keys(*members: Any) -> KeySet:
    return parse(json.dumps({"keys": members}).encode())


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        (RSA, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"),  # RFC 7638 §3.1
        (OKP, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),  # RFC 8037 A.3
    ],
)
def test_the_thumbprints_of_the_rfcs_are_computed(members: dict[str, str], expected: str) -> None:
    """Only from the required members, in any order."""
    assert thumbprint(members) == expected
    others = {**dict(reversed(members.items())), "kid": "another", "use": "sig", "x5t": "x"}
    assert thumbprint(others) == expected


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "ES384", "ES512", "EdDSA"])
def test_thumbprints_equal_those_of_another_library(algorithm: str) -> None:
    """For each key type and curve."""
    private = key(algorithm)
    assert thumbprint(public(private)) == private.thumbprint()


@pytest.mark.parametrize(
    "members",
    [
        *(None, [], "x", {}, {"kty": "oct", "k": "x"}, {"kty": ["EC"]}, {**OKP, "kty": "okp"}, {**OKP, "x": 1}),
        *({**OKP, "x": None}, {name: value for name, value in RSA.items() if name != "e"}),
    ],
)
def test_without_the_required_members_there_is_no_thumbprint(members: Any) -> None:
    """For any JSON value."""
    assert thumbprint(members) is None


@pytest.mark.parametrize(
    ("members", "algorithm", "token"),
    [
        pytest.param(
            {
                "kty": "RSA",
                "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4Ql"
                "L-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUs"
                "LA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoud"
                "F8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
                "e": "AQAB",
            },
            "RS256",
            b"eyJhbGciOiJSUzI1NiJ9."
            b"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
            b"cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr"
            b"7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--x"
            b"i12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_Ioy"
            b"pGlUPQGe77Rw",
            id="RFC 7515 A.2",
        ),
        pytest.param(
            EC,
            "ES256",
            b"eyJhbGciOiJFUzI1NiJ9."
            b"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
            b"DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
            id="RFC 7515 A.3",
        ),
        pytest.param(
            OKP,
            "EdDSA",
            b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
            b"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
            id="RFC 8037 A.4",
        ),
    ],
)
def test_the_signatures_of_the_rfcs_verify(members: dict[str, str], algorithm: str, token: bytes) -> None:
    """They do not verify if one bit of the signed data or of the signature changes."""
    signed, _, text = token.rpartition(b".")
    signature = decode(text)
    result = read(members)
    assert result.verifies(algorithm, signed, signature)
    assert not result.verifies(algorithm, signed + b"x", signature)
    for other in (b"", signature[:-1], signature + b"\0", bytes(len(signature)), signature[:-1] + b"\xff"):
        assert not result.verifies(algorithm, signed, other)


@pytest.mark.parametrize("algorithm", get_args(Algorithm))
def test_each_algorithm_verifies_only_its_own_signatures(algorithm: str) -> None:
    """RFC 8725 §3.1: a key is used only with an algorithm that it is for."""
    private = key(algorithm)
    signed, _, text = sign({}, {}, private, algorithm).rpartition(b".")
    result = read(public(private))
    same = {"EdDSA", "Ed25519"}
    for other in get_args(Algorithm):
        assert result.verifies(other, signed, decode(text)) is (other == algorithm or {other, algorithm} == same)
    named = read(public(private, alg=algorithm))
    assert named.algorithms == {algorithm}


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "", "HS256", "HS384", "rs256", "RS256 ", "ES256K", "RSA1_5"]
)
def test_no_key_verifies_with_a_foreign_algorithm(algorithm: str) -> None:
    """Neither without a signature nor with a signature that anybody can make."""
    for members in (RSA, EC, OKP):
        for signature in (b"", b"\0" * 32, b"\0" * 64):
            assert not read({**members, "alg": None}).verifies(algorithm, b"signed", signature)


@pytest.mark.parametrize(
    ("members", "algorithms"),
    [
        ({**RSA, "alg": None}, ALL_RSA),
        (RSA, {"RS256"}),
        (EC, {"ES256"}),
        ({**EC, "use": "sig", "key_ops": ["verify"], "x5c": ["junk"], "x5u": "https://evil.example"}, {"ES256"}),
        (OKP, {"EdDSA", "Ed25519"}),
        ({**OKP, "alg": "Ed25519"}, {"Ed25519"}),
        ({**EC, "use": None, "key_ops": None, "kid": None}, {"ES256"}),
    ],
)
def test_a_key_fits_the_algorithms_of_its_type_or_the_one_that_it_names(
    members: dict[str, Any], algorithms: set[str]
) -> None:
    """RFC 7517 §4.1 to §4.4."""
    assert read(members).algorithms == algorithms


OTHER_PURPOSES: dict[str, Any] = {
    "not an object": [RSA],
    "null": None,
    "text": "RSA",
    "empty": {},
    "of no type": {name: value for name, value in EC.items() if name != "kty"},
    "of an unknown type": {**EC, "kty": "AKP"},
    "of a type that is not text": {**EC, "kty": ["EC"]},
    "of a type that is not text, with a certificate": {"kty": ["EC"], "x5c": ["MIIB"]},
    "of a type in another case": {**EC, "kty": "ec"},
    "symmetric": {"kty": "oct", "k": "c2VjcmV0"},
    "for encryption": {**EC, "use": "enc"},
    "for encryption, without a modulus": {"kty": "RSA", "use": "enc"},
    "for a use that is not text": {**EC, "use": ["sig"]},
    "only to sign": {**EC, "key_ops": ["sign"]},
    "for operations that are not a list": {**EC, "key_ops": "verify"},
    "for another algorithm": {**EC, "alg": "ES384"},
    "for RSA encryption": {**RSA, "alg": "RSA-OAEP"},
    "for HS256": {**RSA, "alg": "HS256"},
    "for none": {**RSA, "alg": "none"},
    "for an algorithm that is not text": {**RSA, "alg": ["RS256"]},
    "of an unknown curve": {**EC, "crv": "secp256k1"},
    "of a curve that is not text": {**EC, "crv": {}},
    "of another type's curve": {**EC, "crv": "Ed25519"},
    "for key agreement": {**OKP, "crv": "X25519"},
    "without curve": {name: value for name, value in EC.items() if name != "crv"},
}
UNUSABLE: dict[str, tuple[dict[str, Any], str]] = {
    "private, EC": ({**EC, "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}, "private part is published"),
    "private, RSA": (public(key("RS256"), p="AQ"), "private part is published"),
    "private, with an empty part": ({**OKP, "d": ""}, "private part is published"),
    "of a name that is not text": ({**EC, "kid": 1}, "kid is not a string"),
    "not on the curve": ({**EC, "y": EC["x"]}, "numbers are not those of a key"),
    "at the origin": ({**EC, "x": "AA", "y": "AA"}, "numbers are not those of a key"),
    "with too long a number": ({**EC, "x": "AQAB" + EC["x"]}, "numbers are not those of a key"),
    "cut off": ({**EC, "x": EC["x"][:-2]}, "x is not base64url"),
    "without y": ({name: value for name, value in EC.items() if name != "y"}, "y is missing"),
    "with a number for x": ({**EC, "x": 1}, "x is not a string"),
    "not base64": ({**EC, "x": "ä" + EC["x"]}, "x is not base64url"),
    "with a blank": ({**EC, "x": " " + EC["x"]}, "x is not base64url"),
    "not even Unicode": ({**EC, "x": "\ud800"}, "x is not base64url"),
    "too short, Ed25519": ({**OKP, "x": OKP["x"][:40]}, "numbers are not those of a key"),
    "of 1024 bits": ({**RSA, "n": encode((2**1023 + 1).to_bytes(128, "big")).decode()}, "1024 bits"),
    "of 16384 bits": ({**RSA, "n": encode((2**16383 + 1).to_bytes(2048, "big")).decode()}, "16384 bits"),
    "with exponent 1": ({**RSA, "e": "AQ"}, "numbers are not those of a key"),
    "with exponent 2": ({**RSA, "e": "Ag"}, "numbers are not those of a key"),
    "with an exponent as long as the modulus": (
        {**RSA, "e": encode((2**2000 + 1).to_bytes(251, "big")).decode()},
        "exponent",
    ),
    "with an empty exponent": ({**RSA, "e": ""}, "numbers are not those of a key"),
    "RSA, without a modulus": ({"kty": "RSA", "e": "AQAB"}, "n is missing"),
    "with a certificate that cannot be read": ({"kty": "RSA", "x5c": ["junk"]}, "x5c"),
    "with an empty chain": ({"kty": "RSA", "x5c": []}, "x5c"),
    "with a chain that is not a list": ({"kty": "RSA", "x5c": {"0": "junk"}}, "x5c"),
}


@pytest.mark.parametrize("members", OTHER_PURPOSES.values(), ids=OTHER_PURPOSES)
def test_a_jwk_for_another_purpose_is_left_out(members: Any) -> None:
    """RFC 7517 §4, §5: the set is not at fault, and its other keys are used."""
    assert read_key(members) is None
    result = keys(members, EC)
    assert (len(result.keys), result.unusable) == (1, ())


@pytest.mark.parametrize(("members", "why"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_signing_key_that_cannot_be_used_is_a_fault_of_the_set(members: dict[str, Any], why: str) -> None:
    """RFC 7518 §3.3, §6: it is not used, and reported with its name and the reason; the other keys are used."""
    assert read_key(members) is None
    result = keys({"kid": "bad", **members}, EC)
    (fault,) = result.unusable
    assert len(result.keys) == 1
    assert why in fault.why
    named = isinstance(members.get("kid", ""), str)
    assert fault.kid == (members.get("kid", "bad") if named else None)
    assert why in describe(fault)
    if fault.kid is not None:
        assert result.unusable_key(fault.kid) is fault
    assert result.unusable_key("another") is None


def test_unusable_keys_and_keys_for_another_purpose_do_not_affect_the_others() -> None:
    """RFC 7517 §5."""
    result = keys(*OTHER_PURPOSES.values(), *(members for members, _ in UNUSABLE.values()), EC, {**OKP, "kid": "b"})
    assert [entry.kid for entry in result.keys] == [None, "b"]
    assert len(result.unusable) == len(UNUSABLE)


def test_hundred_keys_for_other_purposes_are_not_counted() -> None:
    """Only the work for signing keys is bounded by their number; the response's size bounds the rest."""
    assert len(keys(*[{**EC, "use": "enc"}] * 300, {"kty": "oct", "k": "AA"}, EC).keys) == 1


# Deviations that leave only one reading


def _standard(text: str) -> str:
    return text.replace("-", "+").replace("_", "/")


def _with_zeros(text: str, zeros: int) -> str:
    return encode(bytes(zeros) + decode(text.encode())).decode()


SHORT = {
    "kty": "EC",
    "crv": "P-256",
    "x": "AFVDiUrz0A7X10Cr29dclrBod7eH219w7qeLkKjXwAo",
    "y": "u0yFo9jqKe-q-iRAaRLdhNWxTcMr9lbvbGvVil2UP5I",
}
"""The key of the private number 379, whose x begins with a zero byte."""


def test_numbers_are_read_in_other_common_spellings() -> None:
    """Java's BigInteger adds a zero byte; other libraries leave out zeros, pad, or use the standard alphabet."""
    for members, variant in (
        (EC, {"x": EC["x"] + "=", "y": _standard(EC["y"]) + "="}),
        (EC, {"x": _with_zeros(EC["x"], 1)}),
        (RSA, {"n": _with_zeros(RSA["n"], 1), "e": _with_zeros("AQAB", 2)}),
        (RSA, {"n": _standard(RSA["n"]) + "=="}),
        (OKP, {"x": _standard(OKP["x"]) + "="}),
        (SHORT, {"x": encode(decode(SHORT["x"].encode()).lstrip(b"\0")).decode()}),
    ):
        assert read({**members, **variant}).thumbprint == read(members).thumbprint == thumbprint(members)


def test_a_null_member_counts_as_absent() -> None:
    """Serialisers write all members of a class."""
    nulls = dict.fromkeys(("use", "key_ops", "alg", "kid", "x5c", "x5t", "d", "k", "p", "q", "dp", "dq", "qi", "oth"))
    for members in (EC, RSA, OKP):
        assert read({**nulls, **members}).thumbprint == thumbprint(members)
    assert read({**RSA, "crv": None, "x": None, "y": None}).algorithms == {"RS256"}
    assert read({**RSA, "crv": "P-256"}).algorithms == {"RS256"}


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "ES512", "EdDSA"])
def test_a_key_may_be_only_in_a_certificate(algorithm: Any) -> None:
    """RFC 7517 §4.7: the first certificate of the chain; a curve and an algorithm need not be named."""
    private = key(algorithm)
    certificate = certificate_of(private.public_key)
    kind = public(private)["kty"]
    result = read({"kty": kind, "x5c": [certificate, "junk"], "kid": "a"})
    assert result.thumbprint == thumbprint(public(private))
    assert algorithm in result.algorithms
    named = {**public(key(algorithm, 2)), "x5c": [certificate]}
    assert read(named).thumbprint == thumbprint(named)
    other = "EC" if kind != "EC" else "RSA"
    assert read_key({"kty": other, "x5c": [certificate]}) is None


def test_the_same_key_twice_is_one_key() -> None:
    """Also under two names, or with and without an algorithm: a token without a name is not ambiguous."""
    result = keys(EC, EC, {**EC, "kid": "a"}, {**EC, "kid": "a", "alg": "ES256", "x": EC["x"] + "="})
    assert len(result.keys) == 2
    assert len(result.fitting(None, "ES256")) == len(result.fitting("a", "ES256")) == 1
    both = keys({**RSA, "alg": None}, RSA)
    assert len(both.fitting(RSA["kid"], "RS256")) == len(both.fitting(RSA["kid"], "PS256")) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"keys": null}',
        b'{"keys": {}}',
        b'{"keys": []}',
        b'{"keys": [{}]}',
        b'{"keys": [], "keys": []}',
        json.dumps({"keys": [EC] * (MAX_KEYS + 1)}).encode(),
        json.dumps(EC).encode(),
        json.dumps({"keys": [{**EC, "use": "enc"}, {"kty": "RSA", "kid": "short"}]}).encode(),
    ],
)
def test_a_key_set_without_usable_keys_is_an_error(body: bytes) -> None:
    """It must not replace a set that has some."""
    with pytest.raises(IntrospectionError) as error:
        parse(body)
    assert error.value.reason is IntrospectionFailure.MALFORMED


def test_a_set_without_usable_keys_names_the_faults() -> None:
    """Otherwise nobody could tell a short key from a wrong URL."""
    with pytest.raises(IntrospectionError, match="key 'short': n is missing"):
        parse(b'{"keys": [{"kty": "RSA", "kid": "short"}]}')


def test_keys_at_the_limits_are_accepted() -> None:
    """The maximum number of keys, and the largest key."""
    assert len(keys(*({**EC, "kid": str(number)} for number in range(MAX_KEYS))).keys) == MAX_KEYS
    for modulus, exponent in ((2**2047 + 1, 2**32 - 1), (2**8191 + 1, 3)):
        numbers = {"n": modulus, "e": exponent}
        sized = {
            name: encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).decode()
            for name, value in numbers.items()
        }
        assert read({**RSA, **sized}).algorithms == {"RS256"}


def test_a_key_is_found_by_kid_and_algorithm() -> None:
    """RFC 7517 §4.5: without a `kid` in the token, or without that `kid` in the set, several keys are candidates."""
    other = public(key("ES256"))
    result = keys({**EC, "kid": "a"}, {**OKP, "kid": "b"}, {**RSA, "kid": "b", "alg": None}, other)
    a, b, c, d = result.keys
    assert result.fitting("a", "ES256") == [a]
    assert result.fitting("b", "EdDSA") == [b]
    assert result.fitting("b", "RS256") == [c]
    assert result.fitting("a", "RS256") == result.fitting("b", "ES256") == []
    assert result.fitting("x", "ES256") == result.fitting("", "ES256") == [d]
    assert result.fitting("x", "RS256") == []
    assert result.fitting(None, "ES256") == [a, d]
    assert [result.names(kid) for kid in ("a", "b", "x", "")] == [True, True, False, False]


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["RSA", "EC", "OKP", "P-256", "AQAB"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*RSA, *EC, "use", "key_ops"]), inner),
    max_leaves=12,
)


@given(st.sampled_from([RSA, EC, OKP, {}]), st.dictionaries(st.sampled_from([*RSA, *EC, "use", "key_ops"]), _json))
def test_any_members_are_a_key_or_unusable(members: dict[str, Any], others: dict[str, Any]) -> None:
    """No exception, not even of a library."""
    assert isinstance(read_key({**members, **others}), Key | None)


@given(st.sampled_from([RSA, EC, OKP]), st.sampled_from(["n", "e", "x", "y"]), st.binary(max_size=300))
def test_any_numbers_are_a_key_or_unusable(members: dict[str, Any], name: str, value: bytes) -> None:
    """A usable key verifies or rejects any signature without an exception."""
    result = read_key({**members, name: encode(value).decode()})
    if result is not None:
        assert not any(result.verifies(algorithm, b"signed", bytes(64)) for algorithm in result.algorithms)
