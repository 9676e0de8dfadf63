"""A request that may go no further: allowed as any other, and answered here (RFC 9110 §7.6.2)."""

from __future__ import annotations

from typing import Final

from enforcer.policy.decision import Allow
from enforcer.proxy.exchange import Exchange
from enforcer.proxy.refusals import OwnAnswer
from enforcer.proxy.request import RequestHead

_REFLECTED: Final = frozenset({b"host", b"max-forwards", b"via"})
_OPTIONS: Final = OwnAnswer(200, (), b"")


class LastHop(Exchange):
    """The answer to OPTIONS or TRACE with `Max-Forwards: 0`."""

    __slots__ = ()

    def _forward(self, permit: Allow, identity: bytes) -> None:
        self._route.metrics.decisions[permit.label] += 1
        self._refuse(_OPTIONS if self.request.method == b"OPTIONS" else _trace(self.request))


def _trace(request: RequestHead) -> OwnAnswer:
    """Tell how the request arrived (RFC 9110 §9.3.8): of its fields those that speak of the way, and no credentials."""
    lines = request.lines
    kept = b"".join(b"".join(lines[at : at + 4]) for at in range(0, len(lines), 4) if lines[at].lower() in _REFLECTED)
    version = b"1.0" if request.old else b"1.1"
    message = b"%b %b HTTP/%b\r\n%b\r\n" % (request.method, request.target, version, kept)
    return OwnAnswer(200, ("Content-Type: message/http", "Cache-Control: no-store"), message)
