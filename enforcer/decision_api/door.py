"""The doors of the decision API: each reads requests by its contract, if they come from a caller that may ask."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from enforcer.clients import Networks
from enforcer.counters import DoorMetrics
from enforcer.decision_api.answers import AllowedAnswer
from enforcer.decision_api.caller import Access, Caller
from enforcer.decision_api.contracts import CONTRACTS, read, refused
from enforcer.decision_api.exchange import DecisionExchange
from enforcer.decision_api.grpc.exchange import GrpcExchange
from enforcer.decision_api.ignored_fields import IgnoredFields
from enforcer.proxy.door import Door
from enforcer.proxy.exchange import Downstream, Exchange
from enforcer.proxy.messages.forwarding import Forwarding
from enforcer.proxy.messages.head import RequestHead
from enforcer.proxy.messages.response_writer import ResponseWriter
from enforcer.proxy.messages.responses import Refusal
from enforcer.proxy.peer import Peer
from enforcer.proxy.registry import ConnectionRegistry
from enforcer.proxy.snapshot import Snapshot
from enforcer.settings.decision import DecisionListener
from enforcer.settings.forwarding import ForwardingSettings

_log: Final = logging.getLogger("enforcer.decision_api")

_NOT_A_CALLER: Final = Refusal(403, "this listener answers only the proxies that its configuration names")


class DoorSettings:
    """The settings of one listener of the decision API, ready for use; immutable, and replaced by a reload."""

    __slots__ = ("access", "address", "answer", "contract", "ignored", "largest", "metrics", "name", "reported")

    def __init__(self, settings: DecisionListener, forwarding: ForwardingSettings, metrics: DoorMetrics) -> None:
        networks = Networks(settings.trusted_proxies) if settings.trusted_proxies else None
        secret = None if settings.secret is None else settings.secret.reveal().encode()
        self.name = settings.contract
        self.address = settings.address
        self.access = Access(networks, secret, certified=settings.needs_certificate)
        self.contract = CONTRACTS.get(settings.contract)
        """The fields of the carrier; None if the contract is gRPC."""
        self.largest = settings.message
        self.answer = AllowedAnswer(
            forwarding.identity,
            removes=settings.contract == "request",
            authorization=forwarding.authorization == "remove",
        )
        self.ignored = IgnoredFields(settings.contract, settings.address, metrics)
        self.metrics = metrics
        self.reported = False
        """Whether a peer that may not ask was logged: the first is, and any number may follow."""


class DecisionDoor(Door):
    """The door of one listener. `settings` are those for its next request, of all connections."""

    def __init__(self, settings: DoorSettings) -> None:
        self.settings = settings

    @property
    def forwards(self) -> bool:
        return False

    def peer(self, transport: asyncio.BaseTransport, forwarding: Forwarding) -> Peer:
        return Caller(transport, forwarding, self.settings.name, self.settings.access)

    def exchange(
        self,
        client: Downstream,
        writer: ResponseWriter,
        registry: ConnectionRegistry,
        peer: Peer,
        head: RequestHead,
        snapshot: Snapshot,
    ) -> Exchange:
        settings, refusal = self.settings, None
        if head.refusal is None and not (isinstance(peer, Caller) and peer.admits(settings.access, head)):
            refusal = _NOT_A_CALLER
            self._report(settings, peer)
        answer, metrics, contract = settings.answer, settings.metrics, settings.contract
        if contract is None:
            largest, ignored = settings.largest, settings.ignored
            return GrpcExchange(
                client, writer, registry, peer, head, snapshot, answer, ignored, metrics, largest, refusal
            )
        asked = head
        if refusal is not None:
            asked = refused(head, refusal)
        elif head.refusal is None:
            settings.ignored.count(head)
            asked = read(contract, head, snapshot.limits)
        return DecisionExchange(client, writer, registry, peer, head, asked, snapshot, answer, metrics)

    def _report(self, settings: DoorSettings, peer: Peer) -> None:
        if not settings.reported:
            settings.reported = True
            text = "decision API on %s: %s may not ask, and is answered 403; this is logged once"
            _log.warning(text, settings.address, peer.address)
