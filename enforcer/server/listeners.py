"""The listeners for clients: the proxy's, and those of the decision API. A reload changes all of them at once."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from enforcer.config.model import Config
from enforcer.decision_api.door import DecisionDoor, DoorSettings
from enforcer.proxy.listener import Listener
from enforcer.proxy.registry import ConnectionRegistry
from enforcer.proxy.snapshot import Snapshot
from enforcer.server.resources import ResourceScope
from enforcer.settings.connections.tls import ServerTLS
from enforcer.telemetry import Telemetry


class ListenerSettings(NamedTuple):
    """The settings of all listeners: the TLS context of the proxy's, and the doors of the decision API."""

    tls: ssl.SSLContext | None
    doors: Sequence[tuple[DoorSettings, ssl.SSLContext | None]]


def prepare(config: Config, scope: ResourceScope, telemetry: Telemetry) -> ListenerSettings:
    """Return the settings of all listeners, ready for use; TLS contexts of equal settings are shared."""

    def context(settings: ServerTLS | None) -> ssl.SSLContext | None:
        return None if settings is None else scope.take("listener", settings, make=lambda: settings.context)

    doors = [
        (DoorSettings(settings, config.forwarding, telemetry.door(settings.contract)), context(settings.tls))
        for settings in config.decision
    ]
    return ListenerSettings(context(config.listener.tls), doors)


class Listeners:
    """The listeners, and the registry of their connections. Their number and addresses change only by a restart."""

    def __init__(self, registry: ConnectionRegistry, settings: ListenerSettings) -> None:
        self.registry = registry
        self.proxy = Listener(registry, settings.tls)
        self._doors = [DecisionDoor(door) for door, _ in settings.doors]
        self.decision = [
            Listener(registry, tls, door) for door, (_, tls) in zip(self._doors, settings.doors, strict=True)
        ]

    async def swap(self, snapshot: Snapshot, settings: ListenerSettings) -> None:
        """Switch to another configuration; return once every connection uses it for its next request."""
        self.proxy.tls = settings.tls
        for listener, door, (upcoming, tls) in zip(self.decision, self._doors, settings.doors, strict=False):
            if door.settings.address == upcoming.address:
                listener.tls, door.settings = tls, upcoming
        await self.registry.swap(snapshot)


def restart_settings(config: Config) -> Iterator[tuple[str, str]]:
    """Yield the settings that take effect only at a start, with their values as text."""
    yield "listener.address", config.listener.address
    yield "admin.address", config.admin.address
    yield "decision", ", ".join(settings.address for settings in config.decision) or "without listeners"
