"""The pool, where the exchanges' tests cannot reach it."""

import asyncio

from enforcer.errors import UpstreamError, UpstreamFailure
from enforcer.wire.call import Caller, Reply
from enforcer.wire.client import Endpoint, Pool, PoolSettings
from enforcer.wire.ticker import Ticker


def test_a_name_that_cannot_be_looked_up_is_a_server_that_is_not_there() -> None:
    """Also where the look-up itself fails in another way than the network; its place is free again each time."""

    async def run() -> list[Reply | UpstreamError]:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda *_: None)
        ticker = Ticker(loop)
        pool = Pool(Endpoint(host="a" * 70 + ".test", port=80), PoolSettings(connections=1), ticker, loop)
        caller = Caller(pool, timeout=5.0, max_answer=1000)
        outcomes = []
        for _ in range(3):
            told: asyncio.Future[Reply | UpstreamError] = loop.create_future()
            caller.call(b"GET / HTTP/1.1\r\n\r\n", told.set_result)
            outcomes.append(await told)
        await pool.close()
        ticker.stop()
        return outcomes

    outcomes = asyncio.run(run())
    assert [getattr(outcome, "reason", None) for outcome in outcomes] == [UpstreamFailure.UNAVAILABLE] * 3
