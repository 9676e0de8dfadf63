"""Starts the processes of a walk: the authorization server and the country app; writes the enforcer's configuration."""

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
from country_app.store import CountryStore, open_store
from interop.servers import HERE, AuthorizationServer, Scenario

SECRET: Final = "enforcer-secret"  # noqa: S105 - for servers that live as long as a walk
_PRIVATE: Final = ECKey.generate_key("P-256")
KEY: Final = json.dumps(_PRIVATE.as_dict(private=True))
"""The enforcer's private key as a JWK. Servers get the public key in the variable ENFORCER_CLIENT_JWK."""
_ORIGIN: Final = "http://localhost:9000"
_RULES: Final = HERE.parent / "config.yaml"
_INSTALLED: Final = 900.0  # seconds for a server to start; the first time, it is downloaded and built
_GRACE: Final = 10.0  # seconds for a server to end


class StackError(Exception):
    """A server did not start."""


@contextmanager
def authorization_server(server: AuthorizationServer, log: Path) -> Iterator[str]:
    """Run a server on a free port until the block ends; yields its origin.

    Raises StackError if it does not start.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    origin = f"http://localhost:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own script
            [server.folder / "start", str(port)],
            env={**os.environ, "ENFORCER_CLIENT_JWK": json.dumps(_PRIVATE.as_dict(private=False))},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that its child processes end with it
        )
    try:
        _await(server, process, origin, log)
        yield origin
    finally:
        _end(process)


def _await(server: AuthorizationServer, process: subprocess.Popen[bytes], origin: str, log: Path) -> None:
    deadline = time.monotonic() + _INSTALLED
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(httpx.TransportError):
            if httpx.get(origin + server.ready, trust_env=False).status_code == httpx.codes.OK:
                return
        time.sleep(0.2)
    raise StackError(f"{server.name} did not start; see its log, {log}")


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)


class App:
    """The country app; keeps the header fields of its last request."""

    def __init__(self, store: CountryStore) -> None:
        self._app = build(store)
        self.fields: dict[str, str] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a request."""
        self.fields = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        await self._app(scope, receive, send)


@contextmanager
def country_app() -> Iterator[tuple[str, App]]:
    """Run the app on a free port until the block ends; yields its URL and the app."""
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


def configuration(server: AuthorizationServer, scenario: Scenario, origin: str, app: str) -> str:
    """Return the enforcer's configuration: the server's part as in docs/interop.md, the rules from config.yaml."""
    server_settings = (server.folder / f"{scenario.method}.yaml").read_text("utf-8").replace(_ORIGIN, origin)
    rules = yaml.safe_load(_RULES.read_text("utf-8"))["rules"]
    return yaml.safe_dump(
        {
            "listener": {"address": "127.0.0.1:0"},
            "admin": {"address": "127.0.0.1:0"},
            "upstream": {"url": app},
            "rules": rules,
            **yaml.safe_load(server_settings),
        }
    )
