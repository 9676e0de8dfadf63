"""DPoP proofs: each check of RFC 9449 §4.3, replays, and the limit of wrong signatures."""

from dataclasses import replace
from typing import Any

import pytest
from harness.signing import AnyKey, key, public, sign, text
from hypothesis import given
from hypothesis import strategies as st

from enforcer.settings.jwt import ProofSettings
from enforcer.settings.limits import UnseenSettings
from enforcer.tokens.claims import ActiveToken, read_claims
from enforcer.tokens.dpop.origins import Origins
from enforcer.tokens.dpop.possession import PossessionFault, Proven
from enforcer.tokens.dpop.proof import ProofRequest, check
from enforcer.tokens.dpop.proof_state import ProofState, key_cache
from enforcer.tokens.dpop.replay_cache import ReplayCache, holder_of, proof_id
from enforcer.tokens.jwt.jwks import thumbprint
from enforcer.tokens.jwt.jws import encode
from enforcer.tokens.limiter import ClientLimiter
from enforcer.wire.target import read_path

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
URL = "https://api.example.org/a/b"


def request_for(origin: str, path: bytes, client: str = "192.0.2.1") -> ProofRequest:
    origins = Origins([origin]).candidates(b"http", [b"internal"])
    return ProofRequest(method=b"GET", origins=origins, segments=read_path(path)[0], token=TOKEN, client=client)


REQUEST = request_for("https://api.example.org", b"/a/b")
MINE = key("ES256")
JKT = MINE.thumbprint()
ATH = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"
CLAIMS: dict[str, Any] = {"jti": "-BwC3ESc6acc2lTc", "htm": "GET", "htu": URL, "iat": int(NOW), "ath": ATH}
HEADER: dict[str, Any] = {"typ": "dpop+jwt", "alg": "ES256", "jwk": public(MINE)}


def without(members: dict[str, Any], name: str) -> dict[str, Any]:
    return {other: value for other, value in members.items() if other != name}


def proof(claims: Any = None, header: Any = None, private: AnyKey = MINE, **members: Any) -> bytes:
    """Sign a proof; `members` are changes to the claims."""
    return sign(header or HEADER, {**CLAIMS, **members} if claims is None else claims, private, "ES256")


def ignore(client: str, now: float) -> None:
    """Do nothing about a share that is used up."""


def memory(**settings: int) -> ProofState:
    return ProofState(ReplayCache(), key_cache(8192), ClientLimiter(UnseenSettings(**settings)), 100, ignore)


def bound(thumbprint: str = JKT) -> ActiveToken:
    return read_claims({"cnf": {"jkt": thumbprint}})


def checked(*proofs: bytes, request: ProofRequest = REQUEST, thumbprint: str = JKT) -> Proven | PossessionFault:
    return check(proofs, request, bound(thumbprint), SETTINGS, memory(), NOW)


def test_the_example_of_the_rfc_is_accepted_once() -> None:
    """RFC 9449 §7.1; the key's thumbprint is in §6.1."""
    request = request_for("https://resource.example.org", b"/protectedresource")
    replays, answer = memory(), bound(THUMBPRINT)
    proven = check([PROOF], request, answer, SETTINGS, replays, IAT)
    assert isinstance(proven, Proven)
    assert proven.token is answer
    assert check([PROOF], request, answer, SETTINGS, replays, IAT) is PossessionFault.REPLAYED


def test_a_proof_without_ath_is_malformed() -> None:
    """RFC 9449 §4.2: it was made for the token endpoint and covers no access token."""
    assert checked(proof(without(CLAIMS, "ath"))) is PossessionFault.MALFORMED


def test_exactly_one_proof_is_accepted() -> None:
    """RFC 9449 §4.3, 1: of two proofs, another reader may take the other one."""
    assert isinstance(checked(proof()), Proven)
    assert checked() is PossessionFault.MISSING
    assert checked(proof(), proof()) is PossessionFault.SEVERAL
    assert checked(proof(), b"") is PossessionFault.SEVERAL


@pytest.mark.parametrize("other", [b"", b"x", PROOF[:-1], PROOF + b"=", PROOF + b"," + PROOF, b" ", proof() + b".x.y"])
def test_a_proof_that_is_not_a_jwt_is_malformed(other: bytes) -> None:
    """RFC 9449 §4.3, 2."""
    assert checked(other) is PossessionFault.MALFORMED


@pytest.mark.parametrize("name", ["jti", "htu", "iat", "ath"])
@pytest.mark.parametrize("value", [None, True, [], {}, ["x"]])
def test_a_proof_without_a_required_claim_is_malformed(name: str, value: Any) -> None:
    """RFC 9449 §4.3, 3."""
    assert checked(proof(without(CLAIMS, name))) is PossessionFault.MALFORMED
    assert checked(proof(**{name: value})) is PossessionFault.MALFORMED


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"x", text(CLAIMS)[:-1] + b', "htm": "GET"}', text({**CLAIMS, "jti": ""})]
)
def test_claims_that_cannot_be_read_are_malformed(payload: bytes) -> None:
    """Other readers interpret duplicate members differently."""
    assert checked(proof(payload)) is PossessionFault.MALFORMED


def test_a_proof_has_the_type_dpop_jwt() -> None:
    """RFC 9449 §4.3, 4: another JWT of the client cannot be used as a proof."""
    for typ in ("jwt", "at+jwt", "dpop", "", None, 1, ["dpop+jwt"]):
        assert checked(proof(header={**HEADER, "typ": typ})) is PossessionFault.TYPE
    for typ in ("dpop+jwt", "DPoP+JWT", "application/dpop+jwt"):
        assert isinstance(checked(proof(header={**HEADER, "typ": typ})), Proven)


@pytest.mark.parametrize("alg", ["none", "None", "", "HS256", "es256", None, 1, [], ["ES256"], "ES384"])
def test_an_algorithm_outside_the_list_is_refused(alg: Any) -> None:
    """RFC 9449 §4.3, 5: it must be asymmetric, and never `none`."""
    assert checked(proof(header={**HEADER, "alg": alg})) is PossessionFault.ALGORITHM


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
def test_each_algorithm_of_the_list_is_accepted(algorithm: str) -> None:
    """With a key of its type."""
    private = key(algorithm)
    signed = sign({**HEADER, "alg": algorithm, "jwk": public(private)}, CLAIMS, private, algorithm)
    assert isinstance(checked(signed, thumbprint=private.thumbprint()), Proven)


def test_a_key_of_another_type_is_refused() -> None:
    """It cannot have made the signature."""
    other = key("RS256")
    signed = sign({**HEADER, "jwk": public(other)}, CLAIMS, MINE, "ES256")
    assert checked(signed, thumbprint=other.thumbprint()) is PossessionFault.SIGNATURE


def test_a_signature_by_another_key_is_refused() -> None:
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
def test_a_key_must_be_public_and_able_to_verify(jwk: Any) -> None:
    """RFC 9449 §4.3, 7."""
    assert checked(proof(header={**HEADER, "jwk": jwk})) is PossessionFault.UNUSABLE_KEY
    assert checked(proof(header=without(HEADER, "jwk"))) is PossessionFault.UNUSABLE_KEY


def test_a_key_that_is_not_on_its_curve_is_unusable() -> None:
    """Even if a token is bound to it."""
    jwk = {**public(MINE), "y": "AA"}
    assert (
        checked(proof(header={**HEADER, "jwk": jwk}), thumbprint=thumbprint(jwk) or "") is PossessionFault.UNUSABLE_KEY
    )


def test_a_key_that_the_token_is_not_bound_to_is_refused() -> None:
    """RFC 9449 §7.1: a thief of the token has a key too, but not the right one."""
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
def test_a_token_without_a_key_binding_cannot_be_proven(confirmation: Any, expected: PossessionFault) -> None:
    """RFC 9449 §7.1: the token must be bound to the proof's key."""
    answer = read_claims({"cnf": confirmation})
    assert check([proof()], REQUEST, answer, SETTINGS, memory(), NOW) is expected


def test_the_size_of_a_proof_is_bounded() -> None:
    """A larger proof is not parsed."""
    for size, expected in ((8192, PossessionFault.MALFORMED), (8193, PossessionFault.SIZE)):
        assert checked(b"a" * size) is expected


def test_the_signature_is_verified_last() -> None:
    """Only with the token's key: a proof that is wrong in another way costs no more than reading it.

    Before each verification, the limiter of wrong signatures is asked; here it allows a single one.
    """
    state, thief = memory(rate=1, burst=1), key("ES256", 2)
    state.used.add(proof_id(JKT, "used"), holder_of(bound(), JKT))
    for wrong in (
        *(
            b"x",
            proof(htm="POST"),
            proof(htu="https://x/"),
            proof(iat=0),
            proof(ath="x"),
            proof(jti=""),
            proof(jti="used"),
        ),
        proof(header={**HEADER, "typ": "jwt"}),
        proof(header={**HEADER, "jwk": public(thief)}, private=thief),
    ):
        assert check([wrong], REQUEST, bound(), SETTINGS, state, NOW) is not PossessionFault.FLOOD
    forged = proof(private=thief)
    assert check([forged], REQUEST, bound(), SETTINGS, state, NOW) is PossessionFault.SIGNATURE
    assert check([forged], REQUEST, bound(), SETTINGS, state, NOW) is PossessionFault.FLOOD


@pytest.mark.parametrize("method", ["POST", "get", "GET ", "", None, 1, ["GET"]])
def test_another_method_is_refused(method: Any) -> None:
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
def test_equivalent_urls_match(url: str) -> None:
    """RFC 9449 §4.3, 9: without query and fragment, normalised as in RFC 3986 §6.2.2 and §6.2.3."""
    assert isinstance(checked(proof(htu=url)), Proven)


@pytest.mark.parametrize(
    "url",
    [
        *("http://api.example.org/a/b", "https://api.example.org:8443/a/b", "https://other.example.org/a/b"),
        *("https://api.example.org/a", "https://api.example.org/a/b/", "https://api.example.org/A/b"),
        *("https://api.example.org/a%2Fb", "https://api.example.org/a/./b", "https://api.example.org"),
        *("https://evil@api.example.org/a/b", "https://api.example.org@evil/a/b", "/a/b", "api.example.org/a/b", ""),
        *("https://api.example.org/a/b\n", " https://api.example.org/a/b", "https://api.example.org/%2561/b"),
        *("https:api.example.org/a/b", "https://api.example.org:99999999/a/b", "\ud800"),
        *("httpſ://api.example.org/a/b", "https://api.example.org:٤٤٣/a/b", "https://api.example.org/a/ｂ"),
    ],
)
def test_another_url_is_refused(url: str) -> None:
    """RFC 9449 §4.3, 9."""
    assert checked(proof(htu=url)) is PossessionFault.URL


def test_where_no_origin_can_be_meant_no_proof_is_accepted() -> None:
    """For example because the request names a host that is not the enforcer's."""
    assert checked(proof(), request=replace(REQUEST, origins=())) is PossessionFault.URL


@pytest.mark.parametrize(("sent", "signed"), [("/a%2cb/%7e", "/a%2Cb/~"), ("/~", "/%7E"), ("/%e2%82%ac", "/%E2%82%AC")])
def test_a_path_is_read_like_that_of_a_request(sent: str, signed: str) -> None:
    """Neither the client's spelling nor the proof's matters: a rule matches both of them."""
    for path, url in ((sent, signed), (signed, sent)):
        request = request_for("https://api.example.org", path.encode())
        assert isinstance(checked(proof(htu=f"https://api.example.org{url}"), request=request), Proven)


def test_a_proof_must_be_recent() -> None:
    """RFC 9449 §4.3, 11, and §11.1."""
    for ahead in (-60, -59.5, 0, 15):
        assert isinstance(checked(proof(iat=NOW + ahead)), Proven)
    for ahead in (-61, -1e9, 15.5, 1e9, 1e300, -(10**400), 10**400):
        assert checked(proof(iat=NOW + ahead if abs(ahead) < 1e301 else ahead)) is PossessionFault.TIME


def test_a_time_that_is_not_a_number_is_malformed() -> None:
    """RFC 7519 §2."""
    assert checked(proof(iat=str(int(NOW)))) is PossessionFault.MALFORMED


@pytest.mark.parametrize("ath", ["", ATH[:-1], ATH + "=", ATH.lower(), "\ud800", TOKEN.decode()])
def test_another_token_is_refused(ath: str) -> None:
    """RFC 9449 §4.3, 12."""
    assert checked(proof(ath=ath)) is PossessionFault.TOKEN
    assert checked(proof(), request=replace(REQUEST, token=b"another")) is PossessionFault.TOKEN


# Replays


def test_a_proof_is_accepted_only_once_within_its_lifetime() -> None:
    """RFC 9449 §11.1; after its lifetime it is refused because of its age."""
    for first in (0.0, 0.5, 37.4, 74.9):
        replays = memory()
        replays.used.check(b"x", "", NOW, SETTINGS, 100, NOW)
        signed = proof(iat=NOW + first + SETTINGS.clock_skew)
        now = NOW + first
        assert isinstance(check([signed], REQUEST, bound(), SETTINGS, replays, now), Proven)
        for later in (0.0, 0.1, 30.0, 60.0, 74.9, 75.0):
            assert check([signed], REQUEST, bound(), SETTINGS, replays, now + later) is PossessionFault.REPLAYED
        assert check([signed], REQUEST, bound(), SETTINGS, replays, now + 75.1) is PossessionFault.TIME


def test_a_refused_proof_is_not_recorded() -> None:
    """Without the key, nobody can use up another client's proof or fill the replay cache."""
    replays = memory()
    for wrong in (proof(htm="POST"), proof(private=key("ES256", 2)), proof(iat=0), proof(ath="x")):
        assert isinstance(check([wrong], REQUEST, bound(), SETTINGS, replays, NOW), PossessionFault)
    assert len(replays.used) == 0
    assert isinstance(check([proof()], REQUEST, bound(), SETTINGS, replays, NOW), Proven)


def test_a_full_replay_cache_accepts_no_proof() -> None:
    """It fails closed; a recorded proof is still reported as a replay."""
    replays, settings = memory(), replace(SETTINGS, replays=1)
    assert isinstance(check([proof()], REQUEST, bound(), settings, replays, NOW), Proven)
    assert check([proof(jti="other")], REQUEST, bound(), settings, replays, NOW) is PossessionFault.FULL
    assert check([proof()], REQUEST, bound(), settings, replays, NOW) is PossessionFault.REPLAYED


def test_an_rsa_key_has_2048_to_4096_bits() -> None:
    """RFC 7518 §3.3 requires the least; a larger one protects nothing more, and costs us more for each proof."""
    for bits, accepted in ((1024, False), (2048, True), (4096, True), (4104, False), (8192, False)):
        jwk = {"kty": "RSA", "e": "AQAB", "n": encode((1 << (bits - 1) | 1).to_bytes(bits // 8, "big")).decode()}
        signed = sign({**HEADER, "alg": "RS256", "jwk": jwk}, CLAIMS, MINE, "ES256")
        expected = PossessionFault.SIGNATURE if accepted else PossessionFault.UNUSABLE_KEY
        assert checked(signed, thumbprint=thumbprint(jwk) or "") is expected


def test_a_key_is_imported_for_its_first_proof_only() -> None:
    """It is remembered after it has verified a signature, and used for other proofs only as their own JWK allows."""
    state = memory()
    for number in range(3):
        assert isinstance(check([proof(jti=str(number))], REQUEST, bound(), SETTINGS, state, NOW), Proven)
        assert list(state.keys) == [JKT]
    for change in ({"use": "enc"}, {"alg": "ES384"}, {"key_ops": ["sign"]}):
        unusable = proof(header={**HEADER, "jwk": {**public(MINE), **change}}, jti="x")
        assert check([unusable], REQUEST, bound(), SETTINGS, state, NOW) is PossessionFault.UNUSABLE_KEY
    other = key("ES256", 2)
    forged = sign({**HEADER, "jwk": public(other)}, {**CLAIMS, "jti": "y"}, MINE, "ES256")
    assert check([forged], REQUEST, bound(other.thumbprint()), SETTINGS, state, NOW) is PossessionFault.SIGNATURE
    assert list(state.keys) == [JKT]
    signed = sign({**HEADER, "jwk": public(other)}, {**CLAIMS, "jti": "y"}, other, "ES256")
    assert isinstance(check([signed], REQUEST, bound(other.thumbprint()), SETTINGS, state, NOW), Proven)
    assert list(state.keys) == [other.thumbprint()], "8 KiB hold one key"


def test_the_holder_of_a_token_may_only_fill_its_share_of_the_replay_cache() -> None:
    """However many keys its tokens are bound to; other holders' proofs are still accepted."""
    reported: list[str] = []
    state = replace(memory(), share=50, on_share_exceeded=lambda client, _: reported.append(client))
    settings = replace(SETTINGS, replays=8)

    def send(subject: str, private: AnyKey, jti: str) -> Proven | PossessionFault:
        active = read_claims({"sub": subject, "client_id": "app", "cnf": {"jkt": private.thumbprint()}})
        signed = sign({**HEADER, "jwk": public(private)}, {**CLAIMS, "jti": jti}, private, "ES256")
        return check([signed], REQUEST, active, settings, state, NOW)

    results = [send("mallory", key("ES256", number % 2 + 1), str(number)) for number in range(6)]
    assert [isinstance(result, Proven) for result in results] == [True] * 4 + [False] * 2
    assert results[-1] is PossessionFault.FULL
    assert reported == [REQUEST.client] * 2
    assert isinstance(send("alice", MINE, "a"), Proven)


def test_wrong_signatures_are_limited_by_address() -> None:
    """Verification is the most expensive step. Valid proofs and other addresses are not counted."""
    few = memory(rate=1, burst=3)
    forged = proof(private=key("ES256", 2), jti="forged")

    def check_all(*proofs: bytes, client: str = "192.0.2.1", now: float = NOW) -> list[Proven | PossessionFault]:
        asked = replace(REQUEST, client=client)
        return [check([result], asked, bound(), SETTINGS, few, now) for result in proofs]

    assert all(isinstance(result, Proven) for result in check_all(*(proof(jti=str(number)) for number in range(9))))
    assert check_all(*[forged] * 4, proof(jti="good")) == [PossessionFault.SIGNATURE] * 3 + [PossessionFault.FLOOD] * 2
    assert check_all(proof(htm="POST"), proof(jti="0")) == [PossessionFault.METHOD, PossessionFault.REPLAYED]
    assert isinstance(check_all(proof(jti="good"), client="192.0.2.2")[0], Proven)
    assert isinstance(check_all(proof(jti="better"), now=NOW + 1)[0], Proven)


@given(st.binary() | st.tuples(st.binary(), st.binary(), st.binary()).map(lambda parts: b".".join(map(encode, parts))))
def test_any_bytes_are_refused_without_an_exception(data: bytes) -> None:
    """Random bytes are never a valid proof."""
    assert isinstance(checked(data), PossessionFault)


_ODD = st.sampled_from("ſKİßŉǰΐﬁ①٣²\u2028\ud800\x00")
"""Characters whose lower, upper or folded form is ASCII or longer, digits that are not ASCII, and a surrogate."""


@given(st.sampled_from(["typ", "alg", "htm", "htu", "ath", "jti", "kid"]), st.integers(0, 60), _ODD, st.booleans())
def test_an_odd_character_in_a_valid_member_makes_no_internal_error(
    name: str, index: int, character: str, replaces: bool
) -> None:
    """Even if the key's holder signed it."""
    members = {**HEADER, **CLAIMS, "kid": "k"}
    text_before = str(members[name])
    odd = text_before[:index] + character + text_before[index + replaces :]
    header = {**HEADER, name: odd} if name in ("typ", "alg", "kid") else HEADER
    claims = {} if header is not HEADER else {name: odd}
    assert isinstance(checked(proof({**CLAIMS, **claims}, header)), Proven | PossessionFault)


_values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.just(public(MINE))


@given(
    st.dictionaries(st.sampled_from([*HEADER]), _values), st.dictionaries(st.sampled_from([*CLAIMS, "nonce"]), _values)
)
def test_any_members_are_accepted_or_refused(header: dict[str, Any], claims: dict[str, Any]) -> None:
    """No exception, even if the key's holder signed them."""
    assert isinstance(checked(proof({**CLAIMS, **claims}, {**HEADER, **header})), Proven | PossessionFault)
