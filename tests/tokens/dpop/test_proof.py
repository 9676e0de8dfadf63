from dataclasses import replace
from typing import Any

import pytest
from harness.signing import AnyKey, key, public, sign, text
from hypothesis import given
from hypothesis import strategies as st

from enforcer.settings.jwt import ProofSettings
from enforcer.settings.limits import UnseenSettings
from enforcer.tokens.dpop.possession import PossessionFault, Proven
from enforcer.tokens.dpop.proof import ProofRequest, check, normal_url
from enforcer.tokens.dpop.replay_cache import ProofState, ReplayCache, proof_id
from enforcer.tokens.introspection.response import ActiveToken, from_claims
from enforcer.tokens.jwt.jwks import Key, thumbprint
from enforcer.tokens.jwt.jws import encode
from enforcer.tokens.limiter import AddressLimiter

# RFC 9449 §7.1
TOKEN = b"Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
PROOF = (
    b"eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQy"
    b"VVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19."
    b"eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNv"
    b"dXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9."
    b"2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
)
# RFC 9449 §6.1
THUMBPRINT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
IAT = 1562262618.0

NOW = 1_700_000_000.0
SETTINGS = ProofSettings(max_age=60.0, clock_skew=15.0, replays=100)
REQUEST = ProofRequest(method=b"GET", url="https://api.example.org/a/b", token=TOKEN, address="192.0.2.1")
MINE = key("ES256")
JKT = MINE.thumbprint()
ATH = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"
CLAIMS: dict[str, Any] = {"jti": "-BwC3ESc6acc2lTc", "htm": "GET", "htu": REQUEST.url, "iat": int(NOW), "ath": ATH}
HEADER: dict[str, Any] = {"typ": "dpop+jwt", "alg": "ES256", "jwk": public(MINE)}


def without(members: dict[str, Any], name: str) -> dict[str, Any]:
    return {other: value for other, value in members.items() if other != name}


def proof(claims: Any = None, header: Any = None, private: AnyKey = MINE, **members: Any) -> bytes:
    """Sign a proof; `members` are changes to the claims."""
    return sign(header or HEADER, {**CLAIMS, **members} if claims is None else claims, private, "ES256")


def memory(**settings: int) -> ProofState:
    return ProofState(ReplayCache(), AddressLimiter(UnseenSettings(**settings)))


def bound(thumbprint: str = JKT) -> ActiveToken:
    return from_claims({"cnf": {"jkt": thumbprint}})


def checked(*proofs: bytes, request: ProofRequest = REQUEST, thumbprint: str = JKT) -> Proven | PossessionFault:
    return check(proofs, request, bound(thumbprint), SETTINGS, memory(), NOW)


def test_the_proof_of_the_rfc_is_accepted_for_its_request() -> None:
    """RFC 9449 §7.1, and §6.1 for the key's thumbprint."""
    request = ProofRequest(method=b"GET", url="https://resource.example.org/protectedresource", token=TOKEN, address="")
    replays, answer = memory(), bound(THUMBPRINT)
    proven = check([PROOF], request, answer, SETTINGS, replays, IAT)
    assert isinstance(proven, Proven)
    assert proven.answer is answer
    assert check([PROOF], request, answer, SETTINGS, replays, IAT) is PossessionFault.REPLAYED


def test_a_proof_for_the_token_endpoint_is_none_for_a_resource() -> None:
    """RFC 9449 §4.2: without `ath` it is for no token."""
    assert checked(proof(without(CLAIMS, "ath"))) is PossessionFault.MALFORMED


def test_exactly_one_proof_is_one() -> None:
    """RFC 9449 §4.3, 1: of two, another reader may see the other."""
    assert isinstance(checked(proof()), Proven)
    assert checked() is PossessionFault.MISSING
    assert checked(proof(), proof()) is PossessionFault.SEVERAL
    assert checked(proof(), b"") is PossessionFault.SEVERAL


@pytest.mark.parametrize("other", [b"", b"x", PROOF[:-1], PROOF + b"=", PROOF + b"," + PROOF, b" ", proof() + b".x.y"])
def test_a_proof_is_a_jwt(other: bytes) -> None:
    """RFC 9449 §4.3, 2."""
    assert checked(other) is PossessionFault.MALFORMED


@pytest.mark.parametrize("name", ["jti", "htu", "iat", "ath"])
@pytest.mark.parametrize("value", [None, True, [], {}, ["x"]])
def test_what_a_proof_must_say_is_there(name: str, value: Any) -> None:
    """RFC 9449 §4.3, 3."""
    assert checked(proof(without(CLAIMS, name))) is PossessionFault.MALFORMED
    assert checked(proof(**{name: value})) is PossessionFault.MALFORMED


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"x", text(CLAIMS)[:-1] + b', "htm": "GET"}', text({**CLAIMS, "jti": ""})]
)
def test_claims_that_cannot_be_read_are_malformed(payload: bytes) -> None:
    """A member twice is read differently by others."""
    assert checked(proof(payload)) is PossessionFault.MALFORMED


def test_a_proof_says_that_it_is_one() -> None:
    """RFC 9449 §4.3, 4: no other JWT of the client's is one."""
    for typ in ("jwt", "at+jwt", "dpop", "", None, 1, ["dpop+jwt"]):
        assert checked(proof(header={**HEADER, "typ": typ})) is PossessionFault.TYPE
    for typ in ("dpop+jwt", "DPoP+JWT", "application/dpop+jwt"):
        assert isinstance(checked(proof(header={**HEADER, "typ": typ})), Proven)


@pytest.mark.parametrize("alg", ["none", "None", "", "HS256", "es256", None, 1, [], ["ES256"], "ES384"])
def test_a_proof_is_signed_with_an_algorithm_of_the_list(alg: Any) -> None:
    """RFC 9449 §4.3, 5: asymmetric, and never none."""
    assert checked(proof(header={**HEADER, "alg": alg})) is PossessionFault.ALGORITHM


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
def test_each_algorithm_of_the_list_proves(algorithm: str) -> None:
    """With a key of its type."""
    private = key(algorithm)
    signed = sign({**HEADER, "alg": algorithm, "jwk": public(private)}, CLAIMS, private, algorithm)
    assert isinstance(checked(signed, thumbprint=private.thumbprint()), Proven)


def test_a_key_of_another_type_proves_nothing() -> None:
    """It could not have signed so."""
    other = key("RS256")
    signed = sign({**HEADER, "jwk": public(other)}, CLAIMS, MINE, "ES256")
    assert checked(signed, thumbprint=other.thumbprint()) is PossessionFault.SIGNATURE


def test_a_signature_of_another_key_proves_nothing() -> None:
    """RFC 9449 §4.3, 6."""
    signed = sign(HEADER, CLAIMS, key("ES256", 2), "ES256")
    assert checked(signed) is PossessionFault.SIGNATURE
    assert checked(signed[:-86] + encode(bytes(64))) is PossessionFault.SIGNATURE
    assert checked(signed[:-86]) is PossessionFault.SIGNATURE


@pytest.mark.parametrize(
    "jwk",
    [
        *(None, {}, [], "x", {"kty": "oct", "k": "c2VjcmV0"}),
        MINE.as_dict(private=True),
        {**public(MINE), "use": "enc"},
        {**public(MINE), "alg": "ES384"},
    ],
)
def test_a_key_is_public_and_verifies(jwk: Any) -> None:
    """RFC 9449 §4.3, 7."""
    assert checked(proof(header={**HEADER, "jwk": jwk})) is PossessionFault.UNUSABLE_KEY
    assert checked(proof(header=without(HEADER, "jwk"))) is PossessionFault.UNUSABLE_KEY


def test_a_key_that_is_no_point_of_its_curve_is_none() -> None:
    """Also where a token could be bound to it."""
    jwk = {**public(MINE), "y": "AA"}
    assert (
        checked(proof(header={**HEADER, "jwk": jwk}), thumbprint=thumbprint(jwk) or "") is PossessionFault.UNUSABLE_KEY
    )


def test_a_key_that_the_token_is_not_bound_to_proves_nothing() -> None:
    """RFC 9449 §7.1: a thief of a token has a key too, but not this one."""
    thief = key("ES256", 2)
    signed = sign({**HEADER, "jwk": public(thief)}, CLAIMS, thief, "ES256")
    assert checked(signed) is PossessionFault.KEY
    assert checked(proof(), thumbprint=JKT + "=") is PossessionFault.KEY
    assert checked(proof(header={**HEADER, "jwk": {**public(MINE), "y": "AA"}})) is PossessionFault.KEY


@pytest.mark.parametrize(
    ("confirmation", "expected"),
    [
        (None, PossessionFault.UNBOUND),
        ({"x5t#S256": JKT}, PossessionFault.UNBOUND),
        ({"jkt": ""}, PossessionFault.UNKNOWN),
        ({"jkt": JKT, "x5t#S256": JKT}, PossessionFault.UNKNOWN),
    ],
)
def test_a_proof_does_not_prove_another_binding_than_to_a_key(confirmation: Any, expected: PossessionFault) -> None:
    """RFC 9449 §7.1: the token must be bound to the proof's key."""
    answer = from_claims({"cnf": confirmation})
    assert check([proof()], REQUEST, answer, SETTINGS, memory(), NOW) is expected


def test_a_proof_is_not_too_large() -> None:
    """Its content is not read."""
    for size, expected in ((8192, PossessionFault.MALFORMED), (8193, PossessionFault.SIZE)):
        assert checked(b"a" * size) is expected


def test_the_signature_is_verified_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """And only with the token's key: nothing that is wrong by itself costs more than reading it."""
    verified: list[str] = []

    def verifies(_: Key, algorithm: str, __: bytes, ___: bytes) -> bool:
        verified.append(algorithm)
        return False

    monkeypatch.setattr(Key, "verifies", verifies)
    thief = key("ES256", 2)
    for wrong in (
        *(b"x", proof(htm="POST"), proof(htu="https://x/"), proof(iat=0), proof(ath="x"), proof(jti="")),
        proof(header={**HEADER, "typ": "jwt"}),
        proof(header={**HEADER, "jwk": public(thief)}, private=thief),
    ):
        assert isinstance(checked(wrong), PossessionFault)
    replays = memory()
    replays.used.check(used := proof_id(JKT, CLAIMS["jti"]), NOW, SETTINGS, NOW)
    replays.used.add(used)
    assert check([proof()], REQUEST, bound(), SETTINGS, replays, NOW) is PossessionFault.REPLAYED
    assert verified == []
    assert checked(proof()) is PossessionFault.SIGNATURE
    assert verified == ["ES256"]


@pytest.mark.parametrize("method", ["POST", "get", "GET ", "", None, 1, ["GET"]])
def test_a_proof_is_for_one_method(method: Any) -> None:
    """RFC 9449 §4.3, 8."""
    assert checked(proof(htm=method)) is PossessionFault.METHOD


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.org/a/b?x=y",
        "https://api.example.org/a/b#x",
        "https://api.example.org:443/a/b",
        "https://api.example.org:/a/b",
        "HTTPS://API.example.org/a/b",
        "https://api.example.org/%61/b",
    ],
)
def test_equal_urls_are_the_same_place(url: str) -> None:
    """RFC 9449 §4.3, 9: without query and fragment, normalised as in RFC 3986 §6.2.2 and §6.2.3."""
    assert isinstance(checked(proof(htu=url)), Proven)
    assert isinstance(checked(proof(), request=replace(REQUEST, url=url)), Proven)


@pytest.mark.parametrize(
    "url",
    [
        *("http://api.example.org/a/b", "https://api.example.org:8443/a/b", "https://other.example.org/a/b"),
        *("https://api.example.org/a", "https://api.example.org/a/b/", "https://api.example.org/A/b"),
        *("https://api.example.org/a%2Fb", "https://api.example.org/a/./b", "https://api.example.org"),
        *("https://evil@api.example.org/a/b", "https://api.example.org@evil/a/b", "/a/b", "api.example.org/a/b", ""),
        *("https://api.example.org/a/b\n", " https://api.example.org/a/b", "https://api.example.org/%2561/b"),
        *("https:api.example.org/a/b", "https://api.example.org:99999999/a/b", "\ud800"),
    ],
)
def test_a_proof_is_for_one_url(url: str) -> None:
    """RFC 9449 §4.3, 9."""
    assert checked(proof(htu=url)) is PossessionFault.URL


@pytest.mark.parametrize("url", ["", "/a/b", "https://", "*"])
def test_where_we_do_not_know_our_own_url_nothing_is_proven(url: str) -> None:
    """Two URLs that cannot be read are not equal."""
    assert checked(proof(htu=url), request=replace(REQUEST, url=url)) is PossessionFault.URL


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://A.example", ("http", "a.example", 80, "/")),
        ("http://a.example:0080/%7Eb%2f%c3%a9", ("http", "a.example", 80, "/~b%2F%C3%A9")),
        ("https://[::1]:8443/x//y?z", ("https", "[::1]", 8443, "/x//y")),
        ("https://a.example/%2e%2E/%", ("https", "a.example", 443, "/../%")),
    ],
)
def test_a_url_is_normalised(url: str, expected: tuple[str, str, int, str]) -> None:
    """RFC 3986 §6.2.2.1, §6.2.2.2, §6.2.3."""
    assert normal_url(url) == expected


def test_a_proof_is_fresh() -> None:
    """RFC 9449 §4.3, 11, and §11.1."""
    for ahead in (-60, -59.5, 0, 15):
        assert isinstance(checked(proof(iat=NOW + ahead)), Proven)
    for ahead in (-61, -1e9, 15.5, 1e9, 1e300, -(10**400), 10**400):
        assert checked(proof(iat=NOW + ahead if abs(ahead) < 1e301 else ahead)) is PossessionFault.TIME


def test_a_time_that_is_no_number_is_malformed() -> None:
    """RFC 7519 §2."""
    assert checked(proof(iat=str(int(NOW)))) is PossessionFault.MALFORMED


@pytest.mark.parametrize("ath", ["", ATH[:-1], ATH + "=", ATH.lower(), "\ud800", TOKEN.decode()])
def test_a_proof_is_for_one_token(ath: str) -> None:
    """RFC 9449 §4.3, 12."""
    assert checked(proof(ath=ath)) is PossessionFault.TOKEN
    assert checked(proof(), request=replace(REQUEST, token=b"another")) is PossessionFault.TOKEN


# Replays


def test_a_proof_is_accepted_once_for_as_long_as_it_would_be_fresh() -> None:
    """RFC 9449 §11.1; at its end it is refused for its age."""
    for first in (0.0, 0.5, 37.4, 74.9):
        replays = memory()
        replays.used.check(b"x", NOW, SETTINGS, NOW)
        signed = proof(iat=NOW + first + SETTINGS.clock_skew)
        at = NOW + first
        assert isinstance(check([signed], REQUEST, bound(), SETTINGS, replays, at), Proven)
        for later in (0.0, 0.1, 30.0, 60.0, 74.9, 75.0):
            assert check([signed], REQUEST, bound(), SETTINGS, replays, at + later) is PossessionFault.REPLAYED
        assert check([signed], REQUEST, bound(), SETTINGS, replays, at + 75.1) is PossessionFault.TIME


def test_what_is_refused_for_another_reason_is_not_remembered() -> None:
    """Nobody can use up another's proof, or fill the memory, without the key."""
    replays = memory()
    for wrong in (proof(htm="POST"), proof(private=key("ES256", 2)), proof(iat=0), proof(ath="x")):
        assert isinstance(check([wrong], REQUEST, bound(), SETTINGS, replays, NOW), PossessionFault)
    assert len(replays.used) == 0
    assert isinstance(check([proof()], REQUEST, bound(), SETTINGS, replays, NOW), Proven)


def test_where_no_more_can_be_remembered_no_more_is_accepted() -> None:
    """Fail closed; and a proof that was seen before is still told so."""
    replays, settings = memory(), replace(SETTINGS, replays=1)
    assert isinstance(check([proof()], REQUEST, bound(), settings, replays, NOW), Proven)
    assert check([proof(jti="other")], REQUEST, bound(), settings, replays, NOW) is PossessionFault.FULL
    assert check([proof()], REQUEST, bound(), settings, replays, NOW) is PossessionFault.REPLAYED


def test_an_address_may_send_so_many_wrong_signatures_and_no_more_are_looked_at() -> None:
    """Verification is the most expensive work that a thief can cause; only its own invalid proofs are counted."""
    few = memory(rate=1, burst=3)
    forged = proof(private=key("ES256", 2), jti="forged")

    def told(*proofs: bytes, address: str = "192.0.2.1", at: float = NOW) -> list[Proven | PossessionFault]:
        asked = replace(REQUEST, address=address)
        return [check([one], asked, bound(), SETTINGS, few, at) for one in proofs]

    assert all(isinstance(one, Proven) for one in told(*(proof(jti=str(number)) for number in range(9))))
    assert told(*[forged] * 4, proof(jti="good")) == [PossessionFault.SIGNATURE] * 3 + [PossessionFault.FLOOD] * 2
    assert told(proof(htm="POST"), proof(jti="0")) == [PossessionFault.METHOD, PossessionFault.REPLAYED]
    assert isinstance(told(proof(jti="good"), address="192.0.2.2")[0], Proven)
    assert isinstance(told(proof(jti="better"), at=NOW + 1)[0], Proven)


@given(st.binary() | st.tuples(st.binary(), st.binary(), st.binary()).map(lambda parts: b".".join(map(encode, parts))))
def test_any_bytes_prove_nothing(data: bytes) -> None:
    """And never an exception."""
    assert isinstance(checked(data), PossessionFault)


_values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.just(public(MINE))


@given(
    st.dictionaries(st.sampled_from([*HEADER]), _values), st.dictionaries(st.sampled_from([*CLAIMS, "nonce"]), _values)
)
def test_any_members_are_a_verdict(header: dict[str, Any], claims: dict[str, Any]) -> None:
    """Also where the holder of the key signs them."""
    assert isinstance(checked(proof({**CLAIMS, **claims}, {**HEADER, **header})), Proven | PossessionFault)
