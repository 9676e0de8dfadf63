"""The replay cache: a proof is accepted once."""

import itertools
from dataclasses import replace

import pytest

from enforcer.settings.jwt import ProofSettings
from enforcer.tokens.claims import read_claims
from enforcer.tokens.dpop.possession import PossessionFault
from enforcer.tokens.dpop.replay_cache import ReplayCache, holder_of, proof_id

NOW = 1_700_000_000.0
SETTINGS = ProofSettings(max_age=60.0, clock_skew=15.0, replays=100)


def use(
    replays: ReplayCache, proof: str, now: float, holder: str = "holder", share: int = 100
) -> PossessionFault | None:
    """Look for a proof, and remember it where it may be used."""
    named = proof_id("key", proof)
    fault = replays.check(named, holder, now, SETTINGS, share, now)
    if fault is None:
        replays.add(named, holder)
    return fault


@pytest.mark.parametrize("times", [[0, 74, 76, 148], [0, 75, 149], [0, 76], [0, 10, 20, 30, 40, 50, 60, 70, 74.9]])
def test_a_proof_is_accepted_once_within_its_lifetime(times: list[float]) -> None:
    """Regardless of other proofs and of when the two sets are swapped."""
    replays = ReplayCache()
    seen: dict[str, float] = {}
    for number, offset in enumerate(times):
        for proof, since in seen.items():
            if offset - since <= 75:
                assert use(replays, proof, NOW + offset) is PossessionFault.REPLAYED
        assert use(replays, str(number), NOW + offset) is None
        seen[str(number)] = offset


def test_proofs_of_different_keys_may_share_a_jti() -> None:
    """No client can use up another's proof: no two pairs of key and `jti` give the same identifier."""
    names = {
        proof_id("a", "x"),
        proof_id("b", "x"),
        proof_id("a", "y"),
        proof_id("ax", ""),
        proof_id("a\0", "x"),
        proof_id("a", "\ud800"),
    }
    assert len(names) == 6


def test_a_check_does_not_record_the_proof() -> None:
    """A proof that is refused for another reason must not be used up."""
    replays = ReplayCache()
    assert [replays.check(b"x", "", NOW, SETTINGS, 100, NOW) for _ in range(3)] == [None] * 3
    assert len(replays) == 0


def test_a_full_cache_accepts_no_proof_until_old_ones_expire() -> None:
    """It fails closed: an evicted proof would be accepted again."""
    replays = ReplayCache()
    assert [use(replays, str(number), NOW) for number in range(100)] == [None] * 100
    assert use(replays, "one more", NOW + 75) is PossessionFault.FULL
    assert use(replays, "0", NOW + 75) is PossessionFault.REPLAYED
    assert len(replays) == 100
    assert use(replays, "one more", NOW + 150) is None
    assert len(replays) == 1


@pytest.mark.parametrize("pause", [75, 150, 1000])
def test_expired_proofs_are_freed_a_few_at_a_time(pause: int) -> None:
    """So that a period of 300,000 proofs does not hold the event loop when it ends."""
    replays, settings = ReplayCache(), replace(SETTINGS, replays=1000)
    for number in range(500):
        assert replays.check(b"%d" % number, f"{number}", NOW, settings, 100, NOW) is None
        replays.add(b"%d" % number, f"{number}")
    later = NOW + pause
    left = []
    for number in range(200):
        assert replays.check(b"later", "holder", later, settings, 100, later) is None
        left.append(replays.expired)
        later += 75 if pause == 75 and number == 0 else 0
    assert max(left) == 500
    assert all(0 <= before - after <= 8 for before, after in itertools.pairwise(left[2:]))
    assert left[-1] == 0


def test_proofs_expire_even_if_the_clock_is_set_back() -> None:
    """Recent ones stay recorded."""
    replays = ReplayCache()
    use(replays, "x", NOW)
    assert use(replays, "x", NOW - 3600) is PossessionFault.REPLAYED
    use(replays, "y", NOW - 3600 + 75)
    use(replays, "z", NOW - 3600 + 150)
    assert len(replays) == 2


def test_a_longer_maximum_age_does_not_revive_expired_proofs() -> None:
    """After a reload, a proof that was too old before stays refused."""
    replays = ReplayCache()
    longer = replace(SETTINGS, max_age=300.0)
    assert use(replays, "x", NOW) is None
    assert use(replays, "y", NOW + 160) is None
    assert replays.check(proof_id("key", "x"), "holder", NOW, longer, 100, NOW + 170) is PossessionFault.TIME
    assert replays.check(proof_id("key", "y"), "holder", NOW + 160, longer, 100, NOW + 170) is PossessionFault.REPLAYED
    assert replays.check(proof_id("key", "y"), "holder", NOW + 160, longer, 100, NOW + 400) is PossessionFault.REPLAYED
    assert replays.check(proof_id("key", "z"), "holder", NOW + 120, longer, 100, NOW + 400) is None


def test_a_holder_may_only_have_a_share_and_it_expires_with_the_proofs() -> None:
    """With 75 percent: 75 of 100 for one, then less for the next, and always room for a holder that has none."""
    replays = ReplayCache()

    def fill(holder: str, now: float) -> int:
        count = 0
        while use(replays, f"{holder}{count}{now}", now, holder, 75) is None:
            count += 1
        return count

    assert [fill(holder, NOW) for holder in "abc"] == [75, 19, 5]
    assert use(replays, "z", NOW, "z", 75) is None
    assert use(replays, "a", NOW + 75, "a", 75) is PossessionFault.FULL, "the proofs of the previous period count too"
    assert fill("a", NOW + 150) == 75


def test_a_holder_is_a_subject_at_a_client_whatever_its_keys() -> None:
    """Only a token that names neither counts by its key."""
    names = {"iss": "https://as.example", "sub": "joe", "client_id": "app"}
    own = holder_of(read_claims(names), "k1")
    assert holder_of(read_claims(names), "k2") == own
    for change in ({"iss": None}, {"sub": "ann"}, {"client_id": "other"}, {"sub": "joe app", "client_id": None}):
        assert holder_of(read_claims({**names, **change}), "k1") != own
    assert holder_of(read_claims({}), "k1") == "k1"
