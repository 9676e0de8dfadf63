"""Text, bytes and a large message, with compression: the token is in a subprotocol, as browsers send it."""

from __future__ import annotations

import os

from websockets.sync.client import connect
from websockets.typing import Subprotocol

if __name__ == "__main__":
    protocols = [Subprotocol("access-token"), Subprotocol(f"access-token.{os.environ['TOKEN']}")]
    with connect(f"{os.environ['URL'].replace('http', 'ws', 1)}/socket", subprotocols=protocols) as socket:
        for message in ("text", b"bytes", "x" * 500_000):
            socket.send(message)
            answer = socket.recv()
            print(type(answer).__name__, len(answer))
        print(socket.ping().wait(60))
