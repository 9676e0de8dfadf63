"""A request with Matrix's own bearer token, for a room alias, whose `#` is encoded: the token is in X-Token."""

from __future__ import annotations

import os

import requests

if __name__ == "__main__":
    fields = {"Authorization": "Bearer syt_alice", "X-Token": os.environ["TOKEN"]}
    for alias in ("%23room:example.org", "%23a%2Fb:example.org"):
        url = f"{os.environ['URL']}/_matrix/client/v3/directory/room/{alias}"
        response = requests.get(url, headers=fields, timeout=60)
        print(response.status_code, response.text)
    response.raise_for_status()
