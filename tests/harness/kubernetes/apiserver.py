"""A stand-in for the Kubernetes API server: objects with versions, conflicts, JSON patches, and authentication."""

from __future__ import annotations

import asyncio
import copy
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from harness.certificates import Authority
from harness.waiting import eventually

Object = dict[str, Any]

TOKEN = "service-account-token"
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"


class ApiServer:
    """Serves `objects` by path; records `events`, and every request in `calls`.

    `failures` are statuses and messages with which the next requests fail; `between` runs once, before the next change;
    `pause` is the time in seconds after each byte of an object.
    """

    def __init__(self) -> None:
        self.url = ""
        self.account = Path()
        self.clear()

    def clear(self) -> None:
        """Remove all objects and records."""
        self.objects: dict[str, Object] = {}
        self.events: list[Object] = []
        self.calls: list[str] = []
        self.failures: list[tuple[int, str]] = []
        self.between: Callable[[], None] | None = None
        self.pause = 0.0

    def put(self, path: str, **document: Any) -> None:
        """Store an object."""
        namespace = {"namespace": path.split("/")[4]} if path.startswith("/api/v1/namespaces/") else {}
        meta = {"name": path.rpartition("/")[2], **namespace, "resourceVersion": "1", **document.pop("metadata", {})}
        self.objects[path] = {"metadata": meta, **document}

    def application(self) -> Starlette:
        """Return the ASGI application."""
        return Starlette(routes=[Route("/{path:path}", self._respond, methods=["GET", "PUT", "PATCH", "POST"])])

    async def _respond(self, request: Request) -> Response:
        path = request.url.path
        self.calls.append(f"{request.method} {path}")
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return _status(401, "Unauthorized")
        if self.failures:
            return _status(*self.failures.pop(0))
        if path == "/version":
            return JSONResponse({"major": "1", "minor": "34+"})
        if request.method == "POST":
            self.events.append(await request.json())
            return JSONResponse(self.events[-1], 201)
        if request.method != "GET" and self.between is not None:
            self.between()
            self.between = None
        stored = self.objects.get(path)
        if stored is None:
            return _status(404, f"{path} not found")
        if request.method == "PUT":
            return self._replace(path, stored, await request.json())
        if request.method == "PATCH":
            assert request.headers["content-type"] == "application/json-patch+json"
            return self._patch(path, stored, await request.json())
        return StreamingResponse(self._slowly(stored)) if self.pause else JSONResponse(stored)

    async def _slowly(self, document: Object) -> AsyncIterator[bytes]:
        for byte in json.dumps(document).encode():
            yield bytes((byte,))
            await asyncio.sleep(self.pause)

    def _replace(self, path: str, stored: Object, document: Object) -> Response:
        if document["metadata"]["resourceVersion"] != stored["metadata"]["resourceVersion"]:
            return _status(409, "the object has been modified")
        return self._store(path, document)

    def _patch(self, path: str, stored: Object, operations: list[Object]) -> Response:
        document = copy.deepcopy(stored)
        for operation in operations:
            *parents, last = (int(step) if step.isdigit() else step for step in operation["path"].split("/")[1:])
            inner: Any = document
            for step in parents:
                inner = inner[step]
            if operation["op"] == "test" and inner[last] != operation["value"]:
                return _status(422, "the test failed")
            if operation["op"] == "add":
                inner[last] = operation["value"]
        return self._store(path, document)

    def _store(self, path: str, document: Object) -> Response:
        version = str(int(self.objects[path]["metadata"]["resourceVersion"]) + 1)
        self.objects[path] = {**document, "metadata": {**document["metadata"], "resourceVersion": version}}
        return JSONResponse(self.objects[path])


def _status(code: int, message: str) -> Response:
    return JSONResponse({"kind": "Status", "message": message, "code": code}, code)


@contextmanager
def api_server(folder: Path) -> Iterator[ApiServer]:
    """Run an API server until the block ends; `folder` gets the ServiceAccount files that a pod has."""
    authority = Authority(folder, "ca")
    server = ApiServer()
    context = authority.server_context("localhost")
    running = uvicorn.Server(
        uvicorn.Config(
            server.application(),
            lifespan="off",
            log_config=None,
            access_log=False,
            ssl_context_factory=lambda *_: context,
        )
    )
    (folder / "ca.crt").write_bytes(authority.ca.read_bytes())
    (folder / "token").write_text(TOKEN + "\n")
    (folder / "namespace").write_text("enforcer")
    server.account = folder
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.url = f"https://localhost:{listener.getsockname()[1]}"
        thread = threading.Thread(target=running.run, args=([listener],))
        thread.start()
        try:
            assert eventually(lambda: running.started)
            yield server
        finally:
            running.should_exit = True
            thread.join()
