"""What a walk needs: an authorization server that is installed here, an app that keeps what reached it, an enforcer."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import httpx
import uvicorn
import yaml
from joserfc.jwk import ECKey

from country_app.app import build
from country_app.store import Store, open_store
from interop.servers import HERE, Run, Server

SECRET: Final = "enforcer-secret"  # noqa: S105 - of servers that live as long as a walk
_PRIVATE: Final = ECKey.generate_key("P-256")
KEY: Final = json.dumps(_PRIVATE.as_dict(private=True))
"""The enforcer's own key, as a JWK; a server is told the public part of it in ENFORCER_CLIENT_JWK."""
_ORIGIN: Final = "http://localhost:9000"
_RULES: Final = HERE.parent / "config.yaml"
_INSTALLED: Final = 900.0  # seconds until a server must be there; the first time, it is fetched and built
_GRACE: Final = 10.0  # seconds for one to end


class StackError(Exception):
    """Something could not be started."""


@contextmanager
def authorization_server(server: Server, log: Path) -> Iterator[str]:
    """Start a server on a free port until the block ends; gives its origin."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    origin = f"http://localhost:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - a script of ours
            [server.folder / "start", str(port)],
            env={**os.environ, "ENFORCER_CLIENT_JWK": json.dumps(_PRIVATE.as_dict(private=False))},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # what it starts in turn ends with it
        )
    try:
        _await(server, process, origin, log)
        yield origin
    finally:
        _end(process)


def _await(server: Server, process: subprocess.Popen[bytes], origin: str, log: Path) -> None:
    deadline = time.monotonic() + _INSTALLED
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(httpx.TransportError):
            if httpx.get(origin + server.ready, trust_env=False).status_code == httpx.codes.OK:
                return
        time.sleep(0.2)
    raise StackError(f"{server.name} did not start; its log is {log}")


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)


class App:
    """The country app, and the fields of the request that reached it last."""

    def __init__(self, store: Store) -> None:
        self._app = build(store)
        self.fields: dict[str, str] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a request."""
        self.fields = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        await self._app(scope, receive, send)


@contextmanager
def country_app() -> Iterator[tuple[str, App]]:
    """Run the app on a free port until the block ends; gives its URL, and itself."""
    with open_store(None) as store, socket.create_server(("127.0.0.1", 0)) as listener:
        app = App(store)
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, access_log=False))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", app
        finally:
            server.should_exit = True
            thread.join()


def configuration(server: Server, run: Run, origin: str, app: str) -> str:
    """Write the enforcer's configuration: the server's part as the documentation shows it, the project's own rules."""
    theirs = (server.folder / f"{run.how}.yaml").read_text("utf-8").replace(_ORIGIN, origin)
    rules = yaml.safe_load(_RULES.read_text("utf-8"))["rules"]
    return yaml.safe_dump(
        {
            "listener": {"address": "127.0.0.1:0"},
            "admin": {"address": "127.0.0.1:0"},
            "upstream": {"url": app},
            "rules": rules,
            **yaml.safe_load(theirs),
        }
    )
