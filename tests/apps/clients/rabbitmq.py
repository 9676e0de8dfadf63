"""Requests for queues and exchanges of RabbitMQ's default virtual host, whose name is `/`: the token is in X-Token."""

from __future__ import annotations

import os

import requests

if __name__ == "__main__":
    fields = {"X-Token": os.environ["TOKEN"]}
    for method, path in (
        ("PUT", "queues/%2F/orders"),
        ("GET", "queues/%2F/orders"),
        ("GET", "exchanges/%2f/amq.default"),
        ("DELETE", "queues/%2F/a%2Fb%23c"),
    ):
        url = f"{os.environ['URL']}/api/{path}"
        response = requests.request(method, url, headers=fields, auth=("guest", "guest"), timeout=60)
        print(response.status_code, response.text)
    response.raise_for_status()
