"""Checks that a proxy refuses and passes requests as it should, so that all measured proxies do the same work."""

from __future__ import annotations

import http.client
from collections.abc import Mapping

from bench.processes import BenchError
from bench.servers import AUTHORIZED, INACTIVE, TARGET, RunningServer

_REFUSED: Mapping[str, Mapping[str, str]] = {
    "without a token": {},
    "with an empty token": {"Authorization": "Bearer "},
    "with an inactive token": INACTIVE,
}
# RFC 6750 §3.1; the proxies differ in which of them they choose.
_REFUSALS = {http.client.BAD_REQUEST, http.client.UNAUTHORIZED, http.client.FORBIDDEN}


def check(server: RunningServer) -> None:
    """Send each kind of request twice, because the second decision may come from a cache.

    Does nothing if the server only forwards. Raises BenchError if it refuses an active token, or does not refuse one of
    the other requests.
    """
    if not server.server.authorizes:
        return
    name = server.server.name
    for _ in range(2):
        for case, headers in _REFUSED.items():
            if (status := _status(server, headers)) not in _REFUSALS:
                raise BenchError(f"{name} does not refuse a request {case}: its response has the status {status}")
        if (status := _status(server, AUTHORIZED)) != http.client.OK:
            raise BenchError(
                f"{name} does not pass a request with an active token: its response has the status {status}"
            )


def _status(server: RunningServer, headers: Mapping[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.server.port, timeout=10)
    try:
        connection.request("GET", TARGET, headers={**server.server.fields, **headers})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise BenchError(f"{server.server.name} does not respond: {error!r}") from None
    finally:
        connection.close()
