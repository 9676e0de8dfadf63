"""The grounds on which a request was forwarded, to authorize it again: its stream, or another target. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from enforcer.policy.decision import Allow, Evidence, decide_again
from enforcer.policy.request_view import RequestView
from enforcer.proxy.messages.head import RequestHead
from enforcer.proxy.messages.responses import Refusal
from enforcer.proxy.peer import Peer
from enforcer.proxy.snapshot import Route, Snapshot
from enforcer.proxy.token_reading import read_token
from enforcer.tokens.bearer import DPoPToken, NoToken
from enforcer.tokens.purge import Purge

_MISSING: Final = NoToken.MISSING


class Grant(NamedTuple):
    """The grounds on which a request was forwarded, so that a stream can be authorized again by a newer snapshot.

    `head` is the request's, `peer` its sender. `method` and `target`, in origin form, are those to authorize; `lines`
    are the field lines that were forwarded. `token` is the token as sent, None if there is none. `route` and `permit`
    are what the request was forwarded by, `granted_at` when; `purges` are those since it began.
    """

    head: RequestHead
    peer: Peer
    method: bytes
    target: bytes
    lines: Sequence[bytes]
    token: bytes | None
    route: Route
    permit: Allow
    purges: tuple[Purge, ...]
    granted_at: float

    def __repr__(self) -> str:
        return "Grant(***)"

    def has_ended(self, now: float, snapshot: Snapshot) -> bool:
        """Return whether the token was purged, or has expired and may not be outlasted under the snapshot in force."""
        token = self.permit.token
        if token is not None and token.expires <= now:
            _, route = snapshot.locate(self.method, self.target, self.head.host)
            if route.ends_with_token:
                return True
        return any(map(self.is_ended_by, self.purges))

    def is_ended_by(self, purge: Purge) -> bool:
        """Return whether a purge covers the token."""
        return purge.covers(self.permit.token, self.token)

    def reauthorize(self, snapshot: Snapshot) -> Refusal | None:
        """Return how a snapshot would refuse the request, by the known verification result; None if it allows it."""
        host = self.head.host
        target, route = snapshot.locate(self.method, self.target, host)
        address = self.peer.known_address(self.head, snapshot.forwarding)
        request = RequestView(target.segments, target.query, host, self.lines, address)
        without = self._without_token(route, snapshot)
        # As of when the token was valid: whether its expiry ends the stream is for `has_ended`.
        decision = decide_again(route.requirement, self.permit, without, request, self.granted_at, route.report_only)
        return None if isinstance(decision, Allow) else route.refusals.bearer[decision.reason]

    def _without_token(self, route: Route, snapshot: Snapshot) -> Evidence | None:
        """Return the evidence if the token of the permit means nothing to a route; None if it is the route's too."""
        token = self.permit.token
        # The result of one authorization server means nothing to a rule that trusts another one. One without claims
        # that are read only now cannot be decided on: a claim that was not kept would pass for an absent one.
        if token is None or route.parting or not route.verifier.takes(token, self.route.verifier):
            return route.without_token
        sent = read_token(route.places, self.head, self.method, self.peer, snapshot)
        if isinstance(sent, NoToken):
            return sent
        return None if (sent.token if isinstance(sent, DPoPToken) else sent) == self.token else _MISSING
