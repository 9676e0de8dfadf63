from dataclasses import replace

import pytest

from enforcer.settings.jwt import ProofSettings
from enforcer.tokens.dpop.possession import PossessionFault
from enforcer.tokens.dpop.replay_cache import ReplayCache, proof_id

NOW = 1_700_000_000.0
SETTINGS = ProofSettings(max_age=60.0, clock_skew=15.0, replays=100)


def use(replays: ReplayCache, proof: str, now: float) -> PossessionFault | None:
    """Look for a proof, and remember it where it may be used."""
    named = proof_id("key", proof)
    fault = replays.check(named, now, SETTINGS, now)
    if fault is None:
        replays.add(named)
    return fault


@pytest.mark.parametrize("times", [[0, 74, 76, 148], [0, 75, 149], [0, 76], [0, 10, 20, 30, 40, 50, 60, 70, 74.9]])
def test_a_proof_is_used_once_whatever_else_is_used_in_between(times: list[float]) -> None:
    """For as long as it would be accepted, whenever the sets change places."""
    replays = ReplayCache()
    seen: dict[str, float] = {}
    for number, at in enumerate(times):
        for proof, since in seen.items():
            if at - since <= 75:
                assert use(replays, proof, NOW + at) is PossessionFault.REPLAYED
        assert use(replays, str(number), NOW + at) is None
        seen[str(number)] = at


def test_the_proofs_of_two_keys_may_have_the_same_identifier() -> None:
    """Nobody can use up another's; and no two of key and identifier look like another two."""
    names = {
        proof_id("a", "x"),
        proof_id("b", "x"),
        proof_id("a", "y"),
        proof_id("ax", ""),
        proof_id("a\0", "x"),
        proof_id("a", "\ud800"),
    }
    assert len(names) == 6


def test_looking_does_not_use() -> None:
    """A proof that is invalid in another way must not be used up."""
    replays = ReplayCache()
    assert [replays.check(b"x", NOW, SETTINGS, NOW) for _ in range(3)] == [None] * 3
    assert len(replays) == 0


def test_where_no_more_can_be_remembered_no_more_is_accepted() -> None:
    """Fail closed: a proof that was forgotten would pass as new; old ones make room."""
    replays = ReplayCache()
    assert [use(replays, str(number), NOW) for number in range(100)] == [None] * 100
    assert use(replays, "one more", NOW + 75) is PossessionFault.FULL
    assert use(replays, "0", NOW + 75) is PossessionFault.REPLAYED
    assert len(replays) == 100
    assert use(replays, "one more", NOW + 150) is None
    assert len(replays) == 1


def test_a_clock_that_is_set_back_does_not_stop_the_forgetting() -> None:
    """Nor does it forget what was just seen."""
    replays = ReplayCache()
    use(replays, "x", NOW)
    assert use(replays, "x", NOW - 3600) is PossessionFault.REPLAYED
    use(replays, "y", NOW - 3600 + 75)
    use(replays, "z", NOW - 3600 + 150)
    assert len(replays) == 2


def test_a_longer_life_does_not_bring_back_what_was_forgotten() -> None:
    """By a reload: what was too old until then stays so."""
    replays = ReplayCache()
    longer = replace(SETTINGS, max_age=300.0)
    assert use(replays, "x", NOW) is None
    assert use(replays, "y", NOW + 160) is None
    assert replays.check(proof_id("key", "x"), NOW, longer, NOW + 170) is PossessionFault.TIME
    assert replays.check(proof_id("key", "y"), NOW + 160, longer, NOW + 170) is PossessionFault.REPLAYED
    assert replays.check(proof_id("key", "y"), NOW + 160, longer, NOW + 400) is PossessionFault.REPLAYED
    assert replays.check(proof_id("key", "z"), NOW + 120, longer, NOW + 400) is None
