"""A WebSocket server that echoes messages, and ignores subprotocols."""

from __future__ import annotations

import sys

from websockets.sync.server import ServerConnection, serve


def echo(connection: ServerConnection) -> None:
    """Send every message back."""
    for message in connection:
        connection.send(message)


if __name__ == "__main__":
    with serve(echo, "127.0.0.1", int(sys.argv[1]), select_subprotocol=lambda *_: None) as server:
        server.serve_forever()
