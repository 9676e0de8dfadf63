"""Reads the token of a request as a rule does: its own, that of another target, or that of a newer snapshot. Pure."""

from __future__ import annotations

from typing import Final

from enforcer.proxy.messages.head import RequestHead
from enforcer.proxy.peer import Peer
from enforcer.proxy.snapshot import Snapshot
from enforcer.tokens import bearer
from enforcer.tokens.bearer import DPoPToken, NoToken
from enforcer.tokens.places.places import Places, TakenToken

_CROSS_SITE: Final = NoToken.CROSS_SITE  # access to an enum's member runs Python code


def read_token(
    places: Places | None, head: RequestHead, method: bytes, peer: Peer, snapshot: Snapshot
) -> bytes | NoToken | DPoPToken:
    """Return the token that a rule with these places reads from a request, or why there is none."""
    if places is None:
        return bearer.parse(head.authorization, head.authorizations)
    taken = places.take(head.authorization, head.authorizations, head.lines, head.target)
    return accepted_token(places, taken, head, method, peer, snapshot)


def accepted_token(
    places: Places, taken: TakenToken, head: RequestHead, method: bytes, peer: Peer, snapshot: Snapshot
) -> bytes | NoToken | DPoPToken:
    """Return a token that was taken out of a request; a cookie may come only from a page of this site."""
    if taken.place == "cookie" and places.checks_origin and isinstance(taken.token, bytes):
        scheme, hosts = peer.origin(head, snapshot.forwarding)
        if not snapshot.cookie_use.allows(method, head.upgrade, head.lines, scheme, hosts):
            return _CROSS_SITE
    return taken.token
