"""A server that leaves signals to the caller."""

from __future__ import annotations

import asyncio
import signal
import socket

import uvicorn
from harness.waiting import TIMEOUT

from enforcer.server.listening import ManagedServer


async def application(scope: object, receive: object, send: object) -> None:
    raise AssertionError("no request is sent")


def test_it_reports_when_it_listens_and_installs_no_signal_handlers() -> None:
    """SIGINT and SIGTERM keep the handlers of the process."""

    async def run() -> None:
        server = ManagedServer(uvicorn.Config(application, lifespan="off", log_config=None))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            task = asyncio.create_task(server.serve([listener]))
            assert not server.listening.is_set()
            await asyncio.wait_for(server.listening.wait(), TIMEOUT)
            assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
            socket.create_connection(listener.getsockname(), TIMEOUT).close()
            server.should_exit = True
            await asyncio.wait_for(task, TIMEOUT)

    async def with_own_handlers() -> None:
        handlers[:] = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        await run()

    handlers: list[object] = []
    asyncio.run(with_own_handlers())
