"""The token cache: lifetimes, stale entries, eviction and keys."""

import json
import tracemalloc

import pytest
from harness.steps import steps
from hypothesis import example, given
from hypothesis import strategies as st

from enforcer.settings.cache import CacheSettings
from enforcer.share_report import SharedTable, ShareReport
from enforcer.tokens.cache import CacheEntry, CacheKeys, TokenCache
from enforcer.tokens.claims import NEVER, ActiveToken, read_claims
from enforcer.tokens.introspection.response import INACTIVE, VerificationResult, parse
from enforcer.tokens.retention import Retention

NOW = 1_700_000_000.0
RETENTION = Retention(["tenant"], {})


def token(**claims: object) -> ActiveToken:
    """Return a token with these claims, as the cache keeps it."""
    return RETENTION.reduce(read_claims(claims))


FOREVER = token(sub="a")


def until(expires: float) -> ActiveToken:
    return token() if expires == NEVER else token(exp=expires)


def cache(**settings: float) -> TokenCache:
    return TokenCache(CacheSettings(**{"stale": 0.0, **settings}), RETENTION)  # type: ignore[arg-type]


def test_an_entry_has_the_result_the_identity_fields_and_the_time() -> None:
    """Nothing in it depends on a rule."""
    tokens = cache()
    entry = tokens.put(b"k", FOREVER, b"X-Auth-Subject: a\r\n", NOW)
    cached = tokens.get(b"k", NOW + 1)
    assert cached is entry
    assert (entry.result, entry.identity, entry.fetched_at) == (FOREVER, b"X-Auth-Subject: a\r\n", NOW)
    assert tokens.get(b"other", NOW) is None


@pytest.mark.parametrize(
    ("result", "lifetime"),
    [
        pytest.param(FOREVER, 60.0, id="ttl"),
        pytest.param(until(NOW + 1000), 60.0, id="ttl before exp"),
        pytest.param(until(NOW + 2), 2.0, id="liboauth2 CWE-613: exp before ttl"),
        pytest.param(until(NOW + 0.25), 0.25, id="fraction of a second"),
        pytest.param(INACTIVE, 5.0, id="negative_ttl"),
    ],
)
def test_an_entry_expires_at_the_end_of_its_lifetime(result: VerificationResult, lifetime: float) -> None:
    """After `ttl` or at the token's expiry, whichever is first; an inactive token after `negative_ttl`."""
    tokens = cache(ttl=60.0, negative_ttl=5.0)
    assert tokens.put(b"k", result, b"", NOW).expires_at == NOW + lifetime
    assert tokens.get(b"k", NOW + lifetime - 0.01) is not None
    assert tokens.get(b"k", NOW + lifetime) is None
    assert len(tokens) == 0
    assert tokens.evictions == {"expired": 1, "capacity": 0}


@pytest.mark.parametrize("expires", [NOW, NOW - 1, -1.0, 0.0])
def test_an_expired_token_is_returned_and_not_cached(expires: float) -> None:
    """Waiting requests get the result; later ones do not find it, even if the clock is set back."""
    tokens = cache()
    result = until(expires)
    assert tokens.put(b"k", result, b"", NOW).result is result
    assert len(tokens) == 0
    assert tokens.get(b"k", NOW - 100) is None


def test_an_entry_from_the_future_is_not_found() -> None:
    """After the clock was set back, the entry's age is unknown, so that the token is introspected again."""
    tokens = cache()
    tokens.put(b"k", FOREVER, b"", NOW)
    assert tokens.get(b"k", NOW - 1) is None
    assert tokens.get(b"k", NOW + 1) is None


@pytest.mark.parametrize(
    ("result", "stale_until"),
    [
        pytest.param(FOREVER, 70.0, id="stale after ttl"),
        pytest.param(until(NOW + 65), 65.0, id="exp before stale is over"),
        pytest.param(until(NOW + 2), 2.0, id="exp before ttl"),
        pytest.param(INACTIVE, 0.0, id="never a negative one"),
    ],
)
def test_an_expired_entry_is_kept_as_stale_but_not_beyond_exp(result: VerificationResult, stale_until: float) -> None:
    """Only `get_stale` finds it."""
    tokens = cache(ttl=60.0, stale=10.0, negative_ttl=5.0)
    entry = tokens.put(b"k", result, b"", NOW)
    if stale_until:
        assert tokens.get_stale(b"k", NOW + stale_until - 0.01) is entry
    if stale_until > 60.0:
        assert tokens.get(b"k", NOW + 60.0) is None
        assert tokens.get_stale(b"k", NOW + 60.0) is entry
    assert tokens.get_stale(b"k", NOW + stale_until) is None
    assert tokens.get_stale(b"k", NOW - 1) is None


@pytest.mark.parametrize(
    ("settings", "result", "refresh"),
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
def test_refresh_ahead_applies_unless_the_token_itself_expires(
    settings: dict[str, float], result: VerificationResult, refresh: float
) -> None:
    """The result could not change then. It is never before half of the lifetime."""
    assert cache(**settings).put(b"k", result, b"", NOW).refresh_at == NOW + refresh


def test_all_entries_of_a_subject_or_client_can_be_purged() -> None:
    """Only these, and none without a subject or client."""
    tokens = cache()
    for key, claims in [(b"1", {"sub": "a", "client_id": "x"}), (b"2", {"sub": "b", "client_id": "x"}), (b"3", {})]:
        tokens.put(key, read_claims(claims), b"", NOW)
    tokens.put(b"4", INACTIVE, b"", NOW)
    assert sum(tokens.purge()) == 0
    assert sum(tokens.purge(subject="a")) == 1
    assert [tokens.get(key, NOW) is not None for key in (b"1", b"2", b"3", b"4")] == [False, True, True, True]
    assert sum(tokens.purge(client_id="x")) == 1
    assert sum(tokens.purge(subject="a", client_id="x")) == 0
    assert len(tokens) == 2


def test_a_purge_is_made_in_steps() -> None:
    """Requests are served in between; the purge is noted before the first step, for results that are on their way."""
    tokens = cache()
    for number in range(1200):
        tokens.put(b"%d" % number, read_claims({"sub": "a"}), b"", NOW)
    steps = iter(tokens.purge(subject="a"))
    assert tokens.purges == 1
    first = next(steps)
    assert 0 < first == 1200 - len(tokens) < 600
    assert first + sum(steps) == 1200
    assert len(tokens) == 0


@pytest.mark.parametrize(("first", "second"), [(FOREVER, INACTIVE), (INACTIVE, FOREVER), (FOREVER, until(NOW))])
def test_a_newer_result_replaces_the_older(first: VerificationResult, second: VerificationResult) -> None:
    """Also from active to inactive and back: a revoked token must not stay in the other table."""
    tokens = cache()
    tokens.put(b"k", first, b"", NOW)
    entry = tokens.put(b"k", second, b"", NOW)
    assert tokens.get(b"k", NOW) is (entry if entry.expires_at > NOW else None)
    assert len(tokens) == (entry.expires_at > NOW)
    assert tokens.evictions["capacity"] == 0


def test_take_over_applies_the_new_settings_to_old_entries() -> None:
    """Each entry keeps its age; expired entries are not found."""
    earlier = cache(ttl=60.0, negative_ttl=50.0)
    earlier.put(b"old", FOREVER, b"earlier", NOW)
    earlier.put(b"new", FOREVER, b"earlier", NOW + 30)
    earlier.put(b"short", until(NOW + 35), b"earlier", NOW + 30)
    earlier.put(b"no", INACTIVE, b"", NOW + 30)
    later = cache(ttl=20.0, negative_ttl=10.0, stale=100.0)
    later.take_over(earlier, lambda result: b"later")
    assert {key for key in (b"old", b"new", b"short", b"no") if later.get(key, NOW + 34)} == {b"new", b"short", b"no"}
    cached = later.get(b"new", NOW + 49)
    assert cached is not None
    assert (cached.identity, cached.fetched_at, cached.expires_at) == (b"earlier", NOW + 30, NOW + 50)
    assert later.get(b"short", NOW + 36) is later.get(b"no", NOW + 41) is None
    assert later.get_stale(b"old", NOW + 100) is not None
    untouched = earlier.get(b"new", NOW + 49)
    assert untouched is not None
    assert untouched.identity == b"earlier"


def test_take_over_respects_a_smaller_capacity() -> None:
    """The oldest unused entries are evicted first; the counts continue."""
    earlier = cache(entries=3)
    for number in range(4):
        earlier.put(b"%d" % number, FOREVER, b"", NOW)
    earlier.get(b"1", NOW)
    later = cache(entries=2)
    later.take_over(earlier, lambda result: b"")
    assert [number for number in range(4) if later.get(b"%d" % number, NOW)] == [1, 3]
    assert later.evictions == {"expired": 0, "capacity": 2}


@pytest.mark.parametrize(
    ("names", "identity", "copied"),
    [
        (["tenant"], {"X-User": "sub"}, b"same"),
        ([], {"X-User": "sub"}, b"same"),
        (["tenant"], {"X-Name": "sub", "X-Client": "client_id", "X-Scope": "scope"}, b"a, app, r s"),
        (["tenant"], {"X-Tenant": "tenant"}, b"t"),
        (["tenant"], {"X-Mail": "email"}, None),
        (["tenant", "level"], {"X-User": "sub"}, None),
    ],
)
def test_take_over_copies_tokens_whose_claims_are_known(
    names: list[str], identity: dict[str, str], copied: bytes | None
) -> None:
    """Not those of which a claim is read now that was not kept. Identity fields are written again if they changed."""
    claims = {"sub": "a", "client_id": "app", "scope": "s r", "tenant": "t", "email": "a@b.c", "level": 1}
    earlier = TokenCache(CacheSettings(), Retention(["tenant"], {"X-User": "sub"}))
    earlier.put(b"active", read_claims(claims), b"same", NOW)
    earlier.put(b"inactive", INACTIVE, b"", NOW)
    later = TokenCache(CacheSettings(), Retention(names, identity))
    later.take_over(
        earlier, lambda token: ", ".join(str(token.claims.get(name)) for name in identity.values()).encode()
    )
    entry = later.get(b"active", NOW)
    assert (None if entry is None else entry.identity) == copied
    assert later.get(b"inactive", NOW) is not None


def test_the_memory_of_active_tokens_is_bounded() -> None:
    """Large responses do not change that; a response that would fill the cache by itself is not cached."""
    tokens = cache(memory=100_000, entries=1000)
    keys = [(b"%d %d" % (number, size), size) for number in range(40) for size in (10, 20_000, 200_000)]
    for key, size in keys:
        tokens.put(key, read_claims({"sub": "a", "tenant": ["x" * size]}), b"", NOW)
        assert tokens.size <= 100_000
        assert (tokens.get(key, NOW) is not None) == (size < 100_000)
    for key, _ in keys:
        tokens.drop(key)
    assert (len(tokens), tokens.size) == (0, 0)


def test_the_counted_size_is_the_size_in_memory() -> None:
    """And small: a token of a common kind takes less than a kilobyte."""
    tokens = cache()
    members = {"iss": "https://as.example.org", "client_id": "app", "scope": "read write", "aud": ["app"], "iat": 1.5}
    bodies = [
        json.dumps({"active": True, **members, "sub": f"user {number}", "jti": "x" * 40}) for number in range(2000)
    ]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number, body in enumerate(bodies):
            identity = b"X-Auth-Subject: user %d\r\nX-Auth-Scope: read write\r\n" % number
            tokens.put(b"%032d" % number, parse(body.encode()), identity, NOW)
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.5 * tokens.size < used < tokens.size
    assert tokens.size < 900 * len(bodies)


def test_clear_removes_all_entries() -> None:
    """Active and inactive."""
    tokens = cache()
    tokens.put(b"good", FOREVER, b"", NOW)
    tokens.put(b"bad", INACTIVE, b"", NOW)
    tokens.clear()
    assert len(tokens) == 0


def test_a_removed_token_is_not_found() -> None:
    """Whether it was active, inactive or absent."""
    tokens = cache()
    tokens.put(b"a", FOREVER, b"", NOW)
    tokens.put(b"b", INACTIVE, b"", NOW)
    for key in (b"a", b"b", b"c"):
        tokens.drop(key)
        assert tokens.get(key, NOW) is None
    assert len(tokens) == 0


@pytest.mark.parametrize("result", [FOREVER, INACTIVE], ids=["active", "inactive"])
def test_the_oldest_unused_entry_is_evicted_first(result: VerificationResult) -> None:
    """Entries in use stay."""
    tokens = cache(entries=3, negative_entries=3)
    for key in (b"a", b"b", b"c"):
        tokens.put(key, result, b"", NOW)
    assert tokens.get(b"a", NOW) is not None
    tokens.put(b"d", result, b"", NOW)
    assert [tokens.get(key, NOW) is not None for key in (b"a", b"b", b"c", b"d")] == [True, False, True, True]
    assert tokens.evictions == {"expired": 0, "capacity": 1}


def test_an_expired_entry_is_evicted_before_a_valid_one() -> None:
    """It counts as expired, because nothing was lost."""
    tokens = cache(entries=2)
    tokens.put(b"a", until(NOW + 1), b"", NOW)
    tokens.put(b"b", FOREVER, b"", NOW)
    tokens.put(b"c", FOREVER, b"", NOW + 2)
    assert [tokens.get(key, NOW + 2) is not None for key in (b"a", b"b", b"c")] == [False, True, True]
    assert tokens.evictions == {"expired": 1, "capacity": 0}


@pytest.mark.parametrize("entries", [1, 2, 31, 32, 33, 100])
def test_if_all_entries_are_in_use_one_is_evicted_anyway(entries: int) -> None:
    """The bound is kept, and an eviction looks at a few entries only, whatever the size."""
    tokens = cache(entries=entries)
    for number in range(entries):
        tokens.put(b"%d" % number, FOREVER, b"", NOW)
        tokens.get(b"%d" % number, NOW)
    tokens.put(b"new", FOREVER, b"", NOW)
    assert len(tokens) == entries
    assert tokens.get(b"new", NOW) is not None
    assert tokens.evictions["capacity"] == 1


def test_a_flood_of_inactive_tokens_evicts_no_active_one() -> None:
    """lua-resty-openidc PR 523: active and inactive tokens have separate bounds."""
    tokens = cache(entries=10, negative_entries=100, negative_ttl=60.0)
    for number in range(10):
        tokens.put(b"good%d" % number, FOREVER, b"", NOW)
    for number in range(20_000):
        tokens.put(b"bad%d" % number, INACTIVE, b"", NOW)
    assert all(tokens.get(b"good%d" % number, NOW) for number in range(10))
    assert len(tokens) == 110
    assert tokens.evictions == {"expired": 0, "capacity": 19_900}


@pytest.mark.parametrize(("result", "table"), [(FOREVER, "active"), (INACTIVE, "inactive")])
@pytest.mark.parametrize("hits", [0, 1])
def test_a_client_that_brings_many_tokens_evicts_its_own(result: VerificationResult, table: str, hits: int) -> None:
    """Also if it uses them and the others do not use theirs. It is counted; the only client is not."""
    reports = ShareReport(SharedTable.ACTIVE), ShareReport(SharedTable.INACTIVE)
    settings = CacheSettings(entries=100, negative_entries=100, ttl=1000.0, negative_ttl=1000.0)
    tokens = TokenCache(settings, RETENTION, held_back=reports)
    for number in range(10):
        tokens.put(b"other%d" % number, result, b"", NOW, f"192.0.2.{number % 2}")
    for number in range(1000):
        tokens.put(b"flood%d" % number, result, b"", NOW, "flood")
        for _ in range(hits):
            tokens.get(b"flood%d" % number, NOW)
    assert all(tokens.get(b"other%d" % number, NOW) for number in range(10))
    assert len(tokens) == 100
    assert [report.count for report in reports] == ([910, 0] if table == "active" else [0, 910])
    tokens.clear()
    for number in range(200):
        tokens.put(b"flood%d" % number, result, b"", NOW, "flood")
    assert sum(report.count for report in reports) == 910


def test_an_eviction_looks_at_few_entries() -> None:
    """However many there are, of whichever client."""
    tokens = cache(entries=5000)
    for number in range(5000):
        tokens.put(b"%d" % number, FOREVER, b"", NOW, "one" if number % 10 else f"{number}")
        tokens.get(b"%d" % number, NOW)
    assert steps(lambda: tokens.put(b"new", FOREVER, b"", NOW, "other")) < 1500


def test_without_shares_the_oldest_unused_entry_is_evicted_whoever_brought_it() -> None:
    """`limits.client_share: 100%`."""
    tokens = TokenCache(CacheSettings(entries=3), RETENTION, by_client=False)
    for key, client in ((b"a", "other"), (b"b", "one"), (b"c", "one"), (b"d", "one")):
        tokens.put(key, FOREVER, b"", NOW, client)
    assert tokens.get(b"a", NOW) is None


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
def test_the_cache_behaves_like_a_plain_table_with_times(steps: list[tuple[str, bytes, float | None]]) -> None:
    """All active tokens within the capacity are found; an inactive one may be evicted, never invented."""
    tokens = cache(ttl=10.0, negative_ttl=5.0, entries=len(_GOOD), negative_entries=2)
    table: dict[bytes, CacheEntry] = {}
    now = NOW
    for step, key, value in steps:
        if step == "wait":
            now += value or 0.0
        elif step == "drop":
            tokens.drop(key)
            table.pop(key, None)
        elif step == "get":
            cached = tokens.get(key, now)
            known = table.get(key)
            if known is None or not known.fetched_at <= now < known.expires_at:
                assert cached is None
                table.pop(key, None)
            elif isinstance(known.result, ActiveToken):
                assert cached is known
            else:
                assert cached in (known, None)
        else:
            result = INACTIVE if value is None else until(now + value)
            entry = tokens.put(key, result, b"", now)
            lifetime = 5.0 if value is None else min(10.0, value)
            assert (entry.result, entry.fetched_at, entry.expires_at) == (result, now, now + lifetime)
            table.pop(key, None)
            if entry.expires_at > now:
                table[key] = entry
        assert len(tokens) <= len(_GOOD) + 2
        assert tokens.evictions["capacity"] <= sum(step == "refuse" for step, _, _ in steps)


@given(st.integers(1, 5), st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.booleans()), max_size=60))
def test_the_bounds_hold_and_the_newest_entry_is_found(most: int, steps: list[tuple[int, bool, bool]]) -> None:
    """After any sequence of operations."""
    tokens = cache(entries=most, negative_entries=most)
    newest: dict[int, VerificationResult] = {}
    for number, active, lookup in steps:
        result: VerificationResult = FOREVER if active else INACTIVE
        if lookup:
            cached = tokens.get(b"%d" % number, NOW)
            assert cached is None or cached.result is newest[number]
        else:
            tokens.put(b"%d" % number, result, b"", NOW)
            newest[number] = result
            assert tokens.get(b"%d" % number, NOW) is not None
        assert len(tokens) <= 2 * most


SECRET = b"0" * 32


@given(st.text("ab1:", min_size=1, max_size=12), st.integers(0, 12), st.integers(0, 12))
@example("a1:b", 1, 3)
def test_a_key_identifies_one_pair_of_server_and_token(joined: str, first: int, second: int) -> None:
    """Oathkeeper and Heimdall joined fields into keys without their lengths."""
    pairs = {(joined[:cut], joined[cut:]) for cut in (first, second)}
    keys = {CacheKeys(server, SECRET).key(token.encode()) for server, token in pairs}
    assert len(keys) == len(pairs)


@given(st.text("abé\x00", max_size=8), st.binary(max_size=8), st.text("abé\x00", max_size=8), st.binary(max_size=8))
def test_keys_are_equal_only_for_equal_server_and_token(
    server: str, token: bytes, other_server: str, other_token: bytes
) -> None:
    """For any bytes."""
    one, other = CacheKeys(server, SECRET).key(token), CacheKeys(other_server, SECRET).key(other_token)
    assert (one == other) == ((server, token) == (other_server, other_token))


@pytest.mark.parametrize("token", [b"", b"abc", b"x" * 128, b"x" * 8192])
def test_a_key_is_short_and_does_not_contain_the_token(token: bytes) -> None:
    """A reader of the memory cannot use it."""
    keys = CacheKeys("default", SECRET)
    assert len(keys.key(token)) == 32
    assert keys.key(token) == keys.key(token)
    assert not token or token not in keys.key(token)


def test_without_a_given_secret_keys_differ_between_processes() -> None:
    """Nobody can find a token by trying digests."""
    assert CacheKeys("default").key(b"abc") != CacheKeys("default").key(b"abc")
    assert CacheKeys("default", b"1" * 32).key(b"abc") != CacheKeys("default", SECRET).key(b"abc")
