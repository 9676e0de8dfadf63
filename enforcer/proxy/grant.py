"""The grounds on which a request was forwarded, to authorize it again: its stream, or another target. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from enforcer.policy.decision import Allow, decide_again
from enforcer.policy.request_view import RequestView
from enforcer.proxy.messages.responses import Refusal
from enforcer.proxy.snapshot import Route, Snapshot
from enforcer.tokens.purge import Purge


class Grant(NamedTuple):
    """The grounds on which a request was forwarded, so that a stream can be authorized again by a newer snapshot.

    `target` is in origin form; `credentials` is the value of Authorization; `route` and `permit` are what the request
    was forwarded by, `granted_at` when; `purges` are those since it began. `lines` are the field lines that were
    forwarded, `address` is the client's.
    """

    method: bytes
    target: bytes
    host: bytes
    credentials: bytes | None
    route: Route
    permit: Allow
    purges: tuple[Purge, ...]
    granted_at: float
    lines: Sequence[bytes] = ()
    address: str = ""

    def __repr__(self) -> str:
        return "Grant(***)"

    def has_ended(self, now: float, snapshot: Snapshot) -> bool:
        """Return whether the token was purged, or has expired and may not be outlasted under the snapshot in force."""
        token = self.permit.token
        if token is not None and token.expires <= now:
            _, route = snapshot.locate(self.method, self.target, self.host)
            if route.ends_with_token:
                return True
        return any(map(self.is_ended_by, self.purges))

    def is_ended_by(self, purge: Purge) -> bool:
        """Return whether a purge covers the token."""
        return purge.covers(self.permit.token, self.credentials)

    def reauthorize(self, snapshot: Snapshot) -> Refusal | None:
        """Return how a snapshot would refuse the request, by the known verification result; None if it allows it."""
        target, route = snapshot.locate(self.method, self.target, self.host)
        request = RequestView(target.segments, target.query, self.host, self.lines, self.address)
        token = self.permit.token
        # The result of one authorization server means nothing to a rule that trusts another one. One without claims
        # that are read only now cannot be decided on: a claim that was not kept would pass for an absent one.
        known = token is not None and not route.parting and route.verifier.takes(token, self.route.verifier)
        without = None if known else route.without_token
        # As of when the token was valid: whether its expiry ends the stream is for `has_ended`.
        decision = decide_again(route.requirement, self.permit, without, request, self.granted_at, route.report_only)
        return None if isinstance(decision, Allow) else route.refusals.bearer[decision.reason]
