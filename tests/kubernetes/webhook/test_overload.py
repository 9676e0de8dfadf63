"""Six strangers send what they can to a running webhook; API servers are served, within the memory of the chart."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
import yaml
from harness.kubernetes.apiserver import api_server
from harness.kubernetes.charts import ROOT
from harness.kubernetes.webhooks import HOST, Webhook, furnish, webhook
from harness.usage import peak_memory
from harness.waiting import eventually

PEERS = [f"127.0.0.{number}" for number in range(10, 16)]
API_SERVERS_WAIT = 5.0
"""Seconds (`injector.timeoutSeconds`)."""
SECONDS = 0.6
"""How long each attack lasts."""
BODY = 3 * 1024 * 1024


def memory_limit() -> int:
    """Return the memory limit of the chart, in bytes."""
    values = yaml.safe_load((ROOT / "enforcer" / "values.yaml").read_text("utf-8"))
    return int(values["injector"]["resources"]["limits"]["memory"].removesuffix("Mi")) * 1024 * 1024


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webhook]:
    """A webhook for all attacks: its memory is that of all of them."""
    with api_server(tmp_path_factory.mktemp("account")) as server:
        furnish(server)
        server.put("/api/v1/namespaces/apps")
        with webhook(server, alone=True) as running:
            assert eventually(lambda: running.admin("/readyz").status_code == 200)
            yield running


def review(**spec: object) -> bytes:
    """Return the review of a pod that is injected."""
    containers = [{"name": "app", "ports": [{"containerPort": 8080}], **spec}]
    pod = {
        "metadata": {"generateName": "app-", "labels": {"enforcer.dev/inject": "enabled"}},
        "spec": {"containers": containers},
    }
    resource = {"group": "", "version": "v1", "resource": "pods"}
    request = {"uid": "1", "operation": "CREATE", "resource": resource, "namespace": "apps", "object": pod}
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()


Attack = Callable[[Webhook, socket.socket, ssl.SSLContext], None]


def request(path: str, body: bytes) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def secured(raw: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
    return context.wrap_socket(raw, server_hostname=HOST)


def sending(data: bytes, path: str | None = "/inject") -> Attack:
    """Send requests with a large body, to the secret path if it is None: as if the path had leaked."""

    def attack(running: Webhook, raw: socket.socket, context: ssl.SSLContext) -> None:
        with secured(raw, context) as connection:
            connection.sendall(request(running.path if path is None else path, data))
            connection.recv(65536)

    return attack


def greet(running: Webhook, raw: socket.socket, context: ssl.SSLContext) -> None:
    secured(raw, context).close()


def stay_silent(running: Webhook, raw: socket.socket, context: ssl.SSLContext) -> None:
    raw.sendall(b"\x16\x03\x01\x02")
    time.sleep(0.01)


def drip(running: Webhook, raw: socket.socket, context: ssl.SSLContext) -> None:
    with secured(raw, context) as connection:
        connection.sendall(b"POST /inject HTTP/1.1\r\n")
        for _ in range(10_000):
            connection.send(b"a")


ATTACKS: dict[str, Attack] = {
    "large bodies": sending(b" " * BODY),
    "handshakes only": greet,
    "half a handshake": stay_silent,
    "tiny records": drip,
    "large bodies to the secret path": sending(review(args=["x" * (BODY - 1000)]), None),
    "nothing but brackets to the secret path": sending(b"[" + b"[]," * (BODY // 3 - 2) + b"[]]", None),
    "many values to the secret path": sending(review(env=[{"name": ""}] * 9000), None),
    "many equal arguments to the secret path": sending(review(args=["x"] * 19_000), None),
}


@contextmanager
def attacked(running: Webhook, attack: Attack) -> Iterator[None]:
    """Attack the webhook from six addresses until the block ends."""
    context = running.context()
    over = threading.Event()

    def stranger(peer: str) -> None:
        while not over.is_set():
            with suppress(OSError), socket.create_connection(("127.0.0.1", running.port), 10, (peer, 0)) as raw:
                attack(running, raw, context)

    threads = [threading.Thread(target=stranger, args=(peer,)) for peer in PEERS]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_an_api_server_is_served_during_an_attack(running: Webhook, attack: Attack) -> None:
    """Every review has its response before the API server stops waiting, and the process is alive and small."""
    with attacked(running, attack):
        begin = time.monotonic()
        slowest = 0.0
        while time.monotonic() - begin < SECONDS:
            started = time.monotonic()
            assert running.review(review()).status_code == 200
            assert running.admin("/livez").status_code == 200
            slowest = max(slowest, time.monotonic() - started)
    assert slowest < API_SERVERS_WAIT
    assert peak_memory(running.process.pid) < 0.8 * memory_limit()
