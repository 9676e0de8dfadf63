"""A query with a bearer token, and a subscription whose token is in a subprotocol, as browsers send it."""

from __future__ import annotations

import json
import os

import requests
from websockets.sync.client import connect
from websockets.typing import Subprotocol

if __name__ == "__main__":
    url, token = f"{os.environ['URL']}/graphql", os.environ["TOKEN"]
    query = {"query": "query($name: String!) { hello(name: $name) }", "variables": {"name": "Zoë"}}
    response = requests.post(url, json=query, headers={"Authorization": f"Bearer {token}"}, timeout=60)
    print(response.status_code, response.text)
    protocols = [Subprotocol("graphql-transport-ws"), Subprotocol(f"access-token.{token}")]
    with connect(url.replace("http", "ws", 1), subprotocols=protocols) as socket:
        print(socket.subprotocol)
        socket.send(json.dumps({"type": "connection_init"}))
        print(socket.recv())
        socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": "subscription { count(to: 3) }"}}))
        for _ in range(4):
            print(socket.recv())
