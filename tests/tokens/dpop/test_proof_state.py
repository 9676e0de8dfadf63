"""The memory of the check of DPoP proofs."""

from __future__ import annotations

import pytest

from enforcer.tokens.dpop.proof_state import key_cache


@pytest.mark.parametrize(("size", "keys"), [(4 * 1024 * 1024, 682), (1, 1)])
def test_imported_keys_are_bounded_by_their_size(size: int, keys: int) -> None:
    """Each counts as one of the largest that are accepted; the least recently used one is dropped."""
    cache = key_cache(size)
    for number in range(1000):
        cache[str(number)] = object()
    assert len(cache) == keys
    assert "999" in cache
    assert "0" not in cache
