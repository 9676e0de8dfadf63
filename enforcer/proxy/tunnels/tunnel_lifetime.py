"""The lifetime of a tunnel: it ends if no byte was copied for too long, with its token, and if a reload denies it."""

from __future__ import annotations

from enforcer.proxy.grant import Grant
from enforcer.proxy.registry import ConnectionRegistry
from enforcer.proxy.snapshot import Snapshot
from enforcer.tokens.purge import Purge


class TunnelLifetime:
    """Decides whether a tunnel must end; the tunnel asks, and ends itself. `active` notes that a byte was copied."""

    __slots__ = ("_deadline", "_grant", "_idle_timeout", "_registry", "active")

    def __init__(self, registry: ConnectionRegistry, grant: Grant, idle_timeout: float) -> None:
        self._registry = registry
        self._grant = grant
        self._idle_timeout = idle_timeout
        self._deadline = registry.ticker.next + idle_timeout
        self.active = False

    def is_over_at_start(self, snapshot: Snapshot) -> bool:
        """Return whether a purge or a reload came since the request was allowed under `snapshot`."""
        grant, newest = self._grant, self._registry.snapshot
        if grant.has_ended(0.0, newest):
            return True
        return snapshot is not newest and self.is_denied()

    def is_over(self, now: float, wall: float) -> bool:
        """Return whether it was idle for too long by the loop's clock, or outlasts its token by the wall clock."""
        if self.active:
            self.active = False
            self._deadline = now + self._idle_timeout
        return self._deadline <= now or self._grant.has_ended(wall, self._registry.snapshot)

    def is_denied(self) -> bool:
        """Return whether the newest snapshot denies it, and count it then as ended by a reload."""
        denied = self._grant.reauthorize(self._registry.snapshot) is not None
        if denied:
            self._grant.route.metrics.ended_by_reload += 1
        return denied

    def is_ended_by(self, purge: Purge) -> bool:
        """Return whether a purge covers its token."""
        return self._grant.is_ended_by(purge)
