import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enforcer.settings.cache import CacheSettings
from enforcer.tokens.cache import CacheEntry, CacheKeys, TokenCache
from enforcer.tokens.introspection.response import INACTIVE, NEVER, ActiveToken, VerificationResult, from_claims

NOW = 1_700_000_000.0
FOREVER = from_claims({"sub": "a"})


def until(expires: float) -> ActiveToken:
    return from_claims({} if expires == NEVER else {"exp": expires})


def cache(**settings: float) -> TokenCache:
    return TokenCache(CacheSettings(**{"stale": 0.0, **settings}))  # type: ignore[arg-type]


def test_an_answer_is_found_with_what_was_made_of_it_and_when_it_was_given() -> None:
    """The answer and nothing derived from a rule."""
    remembered = cache()
    entry = remembered.put(b"k", FOREVER, b"X-Auth-Subject: a\r\n", NOW)
    found = remembered.get(b"k", NOW + 1)
    assert found is entry
    assert (entry.result, entry.identity, entry.fetched_at) == (FOREVER, b"X-Auth-Subject: a\r\n", NOW)
    assert remembered.get(b"other", NOW) is None


@pytest.mark.parametrize(
    ("answer", "lifetime"),
    [
        pytest.param(FOREVER, 60.0, id="ttl"),
        pytest.param(until(NOW + 1000), 60.0, id="ttl before exp"),
        pytest.param(until(NOW + 2), 2.0, id="liboauth2 CWE-613: exp before ttl"),
        pytest.param(until(NOW + 0.25), 0.25, id="fraction of a second"),
        pytest.param(INACTIVE, 5.0, id="negative_ttl"),
    ],
)
def test_an_answer_lives_until_its_time_and_not_on_it(answer: VerificationResult, lifetime: float) -> None:
    """For `ttl` or until the token's end, whichever comes first; a negative one for `negative_ttl`."""
    remembered = cache(ttl=60.0, negative_ttl=5.0)
    assert remembered.put(b"k", answer, b"", NOW).expires_at == NOW + lifetime
    assert remembered.get(b"k", NOW + lifetime - 0.01) is not None
    assert remembered.get(b"k", NOW + lifetime) is None
    assert len(remembered) == 0
    assert remembered.evictions == {"expired": 1, "capacity": 0}


@pytest.mark.parametrize("expires", [NOW, NOW - 1, -1.0, 0.0])
def test_a_token_that_is_over_already_is_told_and_not_kept(expires: float) -> None:
    """Requests that waited get the result; no later request finds it, even if the clock is set back."""
    remembered = cache()
    answer = until(expires)
    assert remembered.put(b"k", answer, b"", NOW).result is answer
    assert len(remembered) == 0
    assert remembered.get(b"k", NOW - 100) is None


def test_an_entry_from_the_future_is_none() -> None:
    """The clock was set back: the age of the result is unknown, so the token is verified again."""
    remembered = cache()
    remembered.put(b"k", FOREVER, b"", NOW)
    assert remembered.get(b"k", NOW - 1) is None
    assert remembered.get(b"k", NOW + 1) is None


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        pytest.param(FOREVER, 70.0, id="stale after ttl"),
        pytest.param(until(NOW + 65), 65.0, id="exp before stale is over"),
        pytest.param(until(NOW + 2), 2.0, id="exp before ttl"),
        pytest.param(INACTIVE, 0.0, id="never a negative one"),
    ],
)
def test_past_its_time_an_answer_is_kept_for_an_outage_and_never_past_exp(
    answer: VerificationResult, kept: float
) -> None:
    """It is found there by who asks for it so, and by nobody else."""
    remembered = cache(ttl=60.0, stale=10.0, negative_ttl=5.0)
    entry = remembered.put(b"k", answer, b"", NOW)
    if kept:
        assert remembered.get_stale(b"k", NOW + kept - 0.01) is entry
    if kept > 60.0:
        assert remembered.get(b"k", NOW + 60.0) is None
        assert remembered.get_stale(b"k", NOW + 60.0) is entry
    assert remembered.get_stale(b"k", NOW + kept) is None
    assert remembered.get_stale(b"k", NOW - 1) is None


@pytest.mark.parametrize(
    ("settings", "answer", "refresh"),
    [
        ({"ttl": 60.0, "refresh_ahead": 5.0}, FOREVER, 55.0),
        ({"ttl": 6.0, "refresh_ahead": 5.0}, FOREVER, 3.0),
        ({"ttl": 60.0, "refresh_ahead": 0.0}, FOREVER, NEVER),
        ({"ttl": 60.0, "refresh_ahead": 5.0}, until(NOW + 60), NEVER),
        ({"ttl": 60.0, "refresh_ahead": 5.0}, until(NOW + 30), NEVER),
        ({"ttl": 60.0, "refresh_ahead": 5.0}, until(NOW + 61), 55.0),
        ({"ttl": 60.0, "refresh_ahead": 5.0}, INACTIVE, NEVER),
    ],
)
def test_an_answer_is_best_renewed_before_its_time_where_that_is_not_its_tokens_end(
    settings: dict[str, float], answer: VerificationResult, refresh: float
) -> None:
    """Asking again about a token that ends finds nothing new; and not before half of its time."""
    assert cache(**settings).put(b"k", answer, b"", NOW).refresh_at == NOW + refresh


def test_all_answers_of_a_subject_or_a_client_can_be_forgotten() -> None:
    """Only these; and never those without a holder."""
    remembered = cache()
    for key, claims in [(b"1", {"sub": "a", "client_id": "x"}), (b"2", {"sub": "b", "client_id": "x"}), (b"3", {})]:
        remembered.put(key, from_claims(claims), b"", NOW)
    remembered.put(b"4", INACTIVE, b"", NOW)
    assert remembered.purge() == 0
    assert remembered.purge(subject="a") == 1
    assert [remembered.get(key, NOW) is not None for key in (b"1", b"2", b"3", b"4")] == [False, True, True, True]
    assert remembered.purge(client_id="x") == 1
    assert remembered.purge(subject="a", client_id="x") == 0
    assert len(remembered) == 2


@pytest.mark.parametrize(("first", "second"), [(FOREVER, INACTIVE), (INACTIVE, FOREVER), (FOREVER, until(NOW))])
def test_a_newer_answer_takes_the_place_of_the_older(first: VerificationResult, second: VerificationResult) -> None:
    """Also from active to inactive and back; a token that was revoked is not found active in another room."""
    remembered = cache()
    remembered.put(b"k", first, b"", NOW)
    entry = remembered.put(b"k", second, b"", NOW)
    assert remembered.get(b"k", NOW) is (entry if entry.expires_at > NOW else None)
    assert len(remembered) == (entry.expires_at > NOW)
    assert remembered.evictions["capacity"] == 0


def test_another_cache_takes_over_what_is_remembered_by_its_own_settings() -> None:
    """Each result keeps its age, and its identity fields are written again; expired entries are not found."""
    earlier = cache(ttl=60.0, negative_ttl=50.0)
    earlier.put(b"old", FOREVER, b"earlier", NOW)
    earlier.put(b"new", FOREVER, b"earlier", NOW + 30)
    earlier.put(b"short", until(NOW + 35), b"earlier", NOW + 30)
    earlier.put(b"no", INACTIVE, b"", NOW + 30)
    later = cache(ttl=20.0, negative_ttl=10.0, stale=100.0)
    later.take_over(earlier, lambda answer: b"later")
    assert {key for key in (b"old", b"new", b"short", b"no") if later.get(key, NOW + 34)} == {b"new", b"short", b"no"}
    found = later.get(b"new", NOW + 49)
    assert found is not None
    assert (found.identity, found.fetched_at, found.expires_at) == (b"later", NOW + 30, NOW + 50)
    assert later.get(b"short", NOW + 36) is later.get(b"no", NOW + 41) is None
    assert later.get_stale(b"old", NOW + 100) is not None
    untouched = earlier.get(b"new", NOW + 49)
    assert untouched is not None
    assert untouched.identity == b"earlier"


def test_a_smaller_cache_takes_over_what_it_has_room_for() -> None:
    """The oldest unused entries are evicted first; the counts continue."""
    earlier = cache(entries=3)
    for number in range(4):
        earlier.put(b"%d" % number, FOREVER, b"", NOW)
    earlier.get(b"1", NOW)
    later = cache(entries=2)
    later.take_over(earlier, lambda answer: b"")
    assert [number for number in range(4) if later.get(b"%d" % number, NOW)] == [1, 3]
    assert later.evictions == {"expired": 0, "capacity": 2}


def test_all_can_be_forgotten() -> None:
    """The good and the bad."""
    remembered = cache()
    remembered.put(b"good", FOREVER, b"", NOW)
    remembered.put(b"bad", INACTIVE, b"", NOW)
    remembered.clear()
    assert len(remembered) == 0


def test_what_was_dropped_is_not_found() -> None:
    """Whether it was active or not, or there at all."""
    remembered = cache()
    remembered.put(b"a", FOREVER, b"", NOW)
    remembered.put(b"b", INACTIVE, b"", NOW)
    for key in (b"a", b"b", b"c"):
        remembered.drop(key)
        assert remembered.get(key, NOW) is None
    assert len(remembered) == 0


@pytest.mark.parametrize("answer", [FOREVER, INACTIVE], ids=["active", "inactive"])
def test_of_the_oldest_those_not_used_go_first(answer: VerificationResult) -> None:
    """Entries in use stay; entries not used since are evicted."""
    remembered = cache(entries=3, negative_entries=3)
    for key in (b"a", b"b", b"c"):
        remembered.put(key, answer, b"", NOW)
    assert remembered.get(b"a", NOW) is not None
    remembered.put(b"d", answer, b"", NOW)
    assert [remembered.get(key, NOW) is not None for key in (b"a", b"b", b"c", b"d")] == [True, False, True, True]
    assert remembered.evictions == {"expired": 0, "capacity": 1}


def test_an_entry_that_is_over_makes_room_before_one_that_lives() -> None:
    """And counts as expired, since nothing was lost."""
    remembered = cache(entries=2)
    remembered.put(b"a", until(NOW + 1), b"", NOW)
    remembered.put(b"b", FOREVER, b"", NOW)
    remembered.put(b"c", FOREVER, b"", NOW + 2)
    assert [remembered.get(key, NOW + 2) is not None for key in (b"a", b"b", b"c")] == [False, True, True]
    assert remembered.evictions == {"expired": 1, "capacity": 0}


@pytest.mark.parametrize("entries", [1, 2, 31, 32, 33, 100])
def test_where_all_are_in_use_one_goes_all_the_same(entries: int) -> None:
    """The bound holds, and one eviction looks at a few entries, however many there are."""
    remembered = cache(entries=entries)
    for number in range(entries):
        remembered.put(b"%d" % number, FOREVER, b"", NOW)
        remembered.get(b"%d" % number, NOW)
    remembered.put(b"new", FOREVER, b"", NOW)
    assert len(remembered) == entries
    assert remembered.get(b"new", NOW) is not None
    assert remembered.evictions["capacity"] == 1


def test_a_flood_of_unknown_tokens_evicts_no_good_one() -> None:
    """lua-resty-openidc PR 523: positives and negatives are bounded apart."""
    remembered = cache(entries=10, negative_entries=100, negative_ttl=60.0)
    for number in range(10):
        remembered.put(b"good%d" % number, FOREVER, b"", NOW)
    for number in range(20_000):
        remembered.put(b"bad%d" % number, INACTIVE, b"", NOW)
    assert all(remembered.get(b"good%d" % number, NOW) for number in range(10))
    assert len(remembered) == 110
    assert remembered.evictions == {"expired": 0, "capacity": 19_900}


_GOOD = [b"g%d" % number for number in range(4)]
_KEYS = st.sampled_from([*_GOOD, *(b"n%d" % number for number in range(8))])
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("get"), _KEYS, st.none()),
        st.tuples(st.just("drop"), _KEYS, st.none()),
        st.tuples(st.just("put"), st.sampled_from(_GOOD), st.sampled_from([NEVER, -5.0, 0.0, 3.0, 15.0])),
        st.tuples(st.just("refuse"), _KEYS, st.none()),
        st.tuples(st.just("wait"), st.just(b""), st.sampled_from([0.5, 2.0, 5.0, 10.0, 30.0, -1.0, -20.0])),
    ),
    max_size=60,
)


@given(_STEPS)
@example([("put", b"g0", NEVER), ("wait", b"", -1.0), ("get", b"g0", None), ("wait", b"", 1.0), ("get", b"g0", None)])
def test_it_does_what_a_plain_table_with_times_would(steps: list[tuple[str, bytes, float | None]]) -> None:
    """As many active tokens as there is room for are all found; an inactive one may be forgotten, never invented."""
    remembered = cache(ttl=10.0, negative_ttl=5.0, entries=len(_GOOD), negative_entries=2)
    table: dict[bytes, CacheEntry] = {}
    now = NOW
    for step, key, value in steps:
        if step == "wait":
            now += value or 0.0
        elif step == "drop":
            remembered.drop(key)
            table.pop(key, None)
        elif step == "get":
            found = remembered.get(key, now)
            known = table.get(key)
            if known is None or not known.fetched_at <= now < known.expires_at:
                assert found is None
                table.pop(key, None)
            elif isinstance(known.result, ActiveToken):
                assert found is known
            else:
                assert found in (known, None)
        else:
            answer = INACTIVE if value is None else until(now + value)
            entry = remembered.put(key, answer, b"", now)
            lifetime = 5.0 if value is None else min(10.0, value)
            assert (entry.result, entry.fetched_at, entry.expires_at) == (answer, now, now + lifetime)
            table.pop(key, None)
            if entry.expires_at > now:
                table[key] = entry
        assert len(remembered) <= len(_GOOD) + 2
        assert remembered.evictions["capacity"] <= sum(step == "refuse" for step, _, _ in steps)


@given(st.integers(1, 5), st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.booleans()), max_size=60))
def test_the_bounds_hold_and_the_newest_is_there(most: int, steps: list[tuple[int, bool, bool]]) -> None:
    """For any sequence of operations."""
    remembered = cache(entries=most, negative_entries=most)
    newest: dict[int, VerificationResult] = {}
    for number, active, ask in steps:
        answer: VerificationResult = FOREVER if active else INACTIVE
        if ask:
            found = remembered.get(b"%d" % number, NOW)
            assert found is None or found.result is newest[number]
        else:
            remembered.put(b"%d" % number, answer, b"", NOW)
            newest[number] = answer
            assert remembered.get(b"%d" % number, NOW) is not None
        assert len(remembered) <= 2 * most


SECRET = b"0" * 32


@given(st.text("ab1:", min_size=1, max_size=12), st.integers(0, 12), st.integers(0, 12))
@example("a1:b", 1, 3)
def test_a_server_and_a_token_are_never_taken_for_another_pair(joined: str, first: int, second: int) -> None:
    """Oathkeeper and Heimdall each had keys of fields put together without their lengths."""
    pairs = {(joined[:cut], joined[cut:]) for cut in (first, second)}
    keys = {CacheKeys(server, SECRET).key(token.encode()) for server, token in pairs}
    assert len(keys) == len(pairs)


@given(st.text("abé\x00", max_size=8), st.binary(max_size=8), st.text("abé\x00", max_size=8), st.binary(max_size=8))
def test_keys_are_equal_exactly_where_server_and_token_are(
    server: str, token: bytes, other_server: str, other_token: bytes
) -> None:
    """For any bytes."""
    one, other = CacheKeys(server, SECRET).key(token), CacheKeys(other_server, SECRET).key(other_token)
    assert (one == other) == ((server, token) == (other_server, other_token))


@pytest.mark.parametrize("token", [b"", b"abc", b"x" * 128, b"x" * 8192])
def test_a_key_is_short_and_does_not_hold_the_token(token: bytes) -> None:
    """The key of an entry is of no use to a reader of the memory."""
    keys = CacheKeys("default", SECRET)
    assert len(keys.key(token)) == 32
    assert keys.key(token) == keys.key(token)
    assert not token or token not in keys.key(token)


def test_without_a_secret_of_ones_own_the_keys_are_this_processs_alone() -> None:
    """Nobody can find a token by trying digests."""
    assert CacheKeys("default").key(b"abc") != CacheKeys("default").key(b"abc")
    assert CacheKeys("default", b"1" * 32).key(b"abc") != CacheKeys("default", SECRET).key(b"abc")
