"""The lifetime of a tunnel: bytes, its token, purges and reloads."""

from __future__ import annotations

from typing import Any

import pytest
from harness.playbook import Pipe, Playbook, head, play
from harness.verification import FakeListener

from enforcer.policy.decision import Allow
from enforcer.proxy.authorize import Authorization
from enforcer.proxy.peer import Peer
from enforcer.proxy.tunnels.tunnel_lifetime import TunnelLifetime
from enforcer.tokens.cache import CacheEntry
from enforcer.tokens.claims import read_claims
from enforcer.tokens.purge import Purge

IDLE = 10.0
EVERYBODY = [{"name": "all", "path": "/**", "authenticated": True}]
NOBODY = [{"name": "all", "path": "/**", "scopes": ["never"]}]


class Script:
    """The lifetime of a tunnel, from the permit for its request."""

    def __init__(self, *purges: Purge) -> None:
        self.playbook = Playbook(rules=EVERYBODY)
        self.registry = self.playbook.registry
        self.allowed_by = self.registry.snapshot
        request = head(b"GET", b"/socket", (b"Authorization", b"Bearer token"))
        peer = Peer(Pipe(), self.allowed_by.forwarding)
        authorization = Authorization(request, self.allowed_by, peer, self.registry.decisions)
        authorization.purges = purges
        assert authorization.authorize(FakeListener(repr)) is None
        permit = authorization.conclude(CacheEntry(read_claims({"sub": "alice"}), b"", 0.0, 1.0), 0.0)
        assert isinstance(permit, Allow)
        self.metrics = authorization.route.metrics
        self.begun = self.registry.ticker.next
        self.lifetime = TunnelLifetime(self.registry, authorization.grant(permit), IDLE)

    def reload(self, rules: list[dict[str, Any]]) -> None:
        self.registry.snapshot = self.playbook.snapshot(rules=rules)


def test_it_is_over_when_it_was_idle_for_too_long() -> None:
    """Counted from the check that notices a byte."""

    async def script() -> None:
        script = Script()
        lifetime, begun = script.lifetime, script.begun
        assert not lifetime.is_over(begun + 9, 0.0)
        lifetime.active = True
        assert not lifetime.is_over(begun + 10, 0.0)
        assert not lifetime.is_over(begun + 19, 0.0)
        assert lifetime.is_over(begun + 20, 0.0)

    play(script())


@pytest.mark.parametrize(("rules", "over"), [(EVERYBODY, False), (NOBODY, True)])
def test_a_reload_before_it_began_counts_like_one_after(rules: list[dict[str, Any]], over: bool) -> None:
    """If the new snapshot denies it, it is over, and counted."""

    async def script() -> None:
        script = Script()
        assert not script.lifetime.is_over_at_start(script.allowed_by)
        script.reload(rules)
        assert script.lifetime.is_over_at_start(script.allowed_by) is over
        assert script.lifetime.is_denied() is over
        assert script.metrics.ended_by_reload == 2 * over

    play(script())


def test_a_purge_before_it_began_counts_like_one_after() -> None:
    """A purge of another token does not matter."""

    async def script() -> None:
        purge, other = Purge("token", "token"), Purge("token", "another")
        script = Script(purge)
        assert script.lifetime.is_over_at_start(script.allowed_by)
        assert not Script(other).lifetime.is_over_at_start(script.allowed_by)
        assert [script.lifetime.is_ended_by(each) for each in (purge, other)] == [True, False]

    play(script())
