"""Who says what a server's tokens are worth, made from settings, against servers on real sockets."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
from harness.servers import Server, response, serving
from harness.signing import key, public
from harness.waiting import eventually

from enforcer.config.model import AuthorizationServer
from enforcer.errors import IntrospectionError
from enforcer.secret import Secret
from enforcer.server.sources import make_source
from enforcer.tokens.answer import Active, Answer
from enforcer.wire.ticker import Ticker

KEYS = json.dumps({"keys": [public(key(), kid="a")]}).encode()


def settings(server: Server, **changes: Any) -> AuthorizationServer:
    return AuthorizationServer(
        introspection_endpoint=f"http://127.0.0.1:{server.port}/introspect",
        client_id="enforcer",
        client_secret=Secret("secret"),
        **changes,
    )


@pytest.mark.parametrize("verify", ["introspect", "jwt_then_introspect"])
def test_a_closed_source_ends_its_work_and_not_that_of_others(verify: str) -> None:
    """Nothing is left on the ticker and no connection stays; who is being answered is, and who asks late, too."""
    held, reached = threading.Event(), threading.Event()

    def answer(head: bytes, body: bytes) -> bytes:
        if head.startswith(b"GET"):
            return response(KEYS)
        if b"slow" in body:
            reached.set()
            held.wait(10)
        return response(b'{"active": true}')

    async def run(server: Server) -> list[Answer | IntrospectionError]:
        loop = asyncio.get_running_loop()
        ticker = Ticker(loop)
        jwks = {"issuer": "i", "jwks_uri": f"http://127.0.0.1:{server.port}/keys"}
        source = make_source(settings(server, verify=verify, **jwks), ticker, loop)
        told: list[asyncio.Future[Answer | IntrospectionError]] = [loop.create_future() for _ in range(2)]
        source.introspect(b"slow", told[0].set_result)
        await loop.run_in_executor(None, reached.wait)
        source.close()
        source.introspect(b"late", told[1].set_result)
        held.set()
        answers = await asyncio.gather(*told)
        assert await loop.run_in_executor(None, eventually, lambda: not ticker._sweeps)
        ticker.stop()
        return answers

    with serving(answer) as server:
        assert all(isinstance(one, Active) for one in asyncio.run(run(server)))
        assert eventually(lambda: not server.open)
