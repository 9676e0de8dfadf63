"""Accepted connections: HTTP/1.1 and HTTP/2 count their memory and end in the same way."""

from __future__ import annotations

import pytest
from harness.playbook import Pipe, Playbook, play

from enforcer.proxy.accepted import AcceptedConnection
from enforcer.proxy.connection import ClientConnection
from enforcer.proxy.http2.connection import Http2Connection


@pytest.mark.parametrize("protocol", [ClientConnection, Http2Connection])
def test_a_connection_counts_what_the_client_has_not_read(protocol: type[ClientConnection | Http2Connection]) -> None:
    """In addition to what it takes itself; and an abort is a reset."""

    async def script() -> None:
        connection = protocol(Playbook().registry)
        assert isinstance(connection, AcceptedConnection)
        pipe = Pipe(connection)
        connection.connection_made(pipe)
        idle = connection.memory
        pipe.buffered = 5000
        assert connection.memory == idle + 5000
        connection.abort()
        assert pipe.aborted

    play(script())
