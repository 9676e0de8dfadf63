"""A notebook with an unusual name is stored, and a kernel computes over a WebSocket: the token is a bearer token."""

from __future__ import annotations

import json
import os
import uuid

import requests
import websocket

if __name__ == "__main__":
    url = os.environ["URL"]
    fields = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
    session = requests.Session()
    session.headers.update(fields)
    content = {"type": "file", "format": "text", "content": "x"}
    response = session.put(f"{url}/api/contents/C%23%20notes%20100%25.txt", json=content, timeout=60)
    response.raise_for_status()
    print(response.json()["path"])
    kernel = session.post(f"{url}/api/kernels", json={"name": "python3"}, timeout=60).json()["id"]
    address = f"{url.replace('http', 'ws', 1)}/api/kernels/{kernel}/channels"
    socket = websocket.create_connection(address, header=fields, timeout=60)
    header = {
        "msg_id": uuid.uuid4().hex,
        "msg_type": "execute_request",
        "session": "a",
        "username": "a",
        "version": "5.3",
    }
    request = {"code": "print(6 * 7)", "silent": False, "store_history": False, "allow_stdin": False}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": request, "channel": "shell"}
    socket.send(json.dumps(message))
    while (answer := json.loads(socket.recv()))["header"]["msg_type"] != "stream":
        pass
    print(answer["content"])
    socket.close()
    print(session.delete(f"{url}/api/kernels/{kernel}", timeout=60).status_code)
