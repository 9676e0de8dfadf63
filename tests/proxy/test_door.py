"""The door of listeners that forward."""

from __future__ import annotations

import pytest
from harness.playbook import Pipe, Playbook, play

from enforcer.proxy import door as door_module
from enforcer.proxy.connection import ClientConnection
from enforcer.proxy.door import Door
from enforcer.proxy.exchange import Downstream, Exchange
from enforcer.proxy.messages.head import RequestHead
from enforcer.proxy.messages.response_writer import ResponseWriter
from enforcer.proxy.peer import Peer
from enforcer.proxy.registry import ConnectionRegistry
from enforcer.proxy.snapshot import Snapshot

COMPILED = not door_module.__file__.endswith(".py")


class Recorded(Door):
    """A door that notes the exchanges that it makes."""

    def __init__(self) -> None:
        self.targets: list[bytes] = []

    def exchange(
        self,
        client: Downstream,
        writer: ResponseWriter,
        registry: ConnectionRegistry,
        peer: Peer,
        head: RequestHead,
        snapshot: Snapshot,
    ) -> Exchange:
        self.targets.append(head.target)
        return super().exchange(client, writer, registry, peer, head, snapshot)


@pytest.mark.skipif(COMPILED, reason="interpreted classes cannot inherit from compiled ones")
def test_a_connection_asks_its_door_for_each_exchange() -> None:
    """Also for a request that cannot be read, and the door of the proxy forwards."""

    async def script() -> None:
        door, playbook = Recorded(), Playbook()
        connection = ClientConnection(playbook.registry, None, door)
        pipe = Pipe(connection)
        connection.connection_made(pipe)
        pipe.receive(b"GET /thing HTTP/1.1\r\nHost: app\r\n\r\n")
        assert pipe.take().startswith(b"HTTP/1.1 401 ")
        pipe.receive(b"no request\r\n\r\n")
        assert pipe.take().startswith(b"HTTP/1.1 ")
        assert door.targets == [b"/thing", b""]

    play(script())
