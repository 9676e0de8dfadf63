"""Records the responses to requests that the enforcer's own code sends, since the doctor needs more than their outcome.

The requests and their connections are those of serving: this only looks at the results.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TypeVar

from enforcer.doctor.diagnosis import ServerResponse
from enforcer.tokens.introspection.endpoint import Sender
from enforcer.tokens.introspection.endpoint_result import EndpointResult, SendFailure
from enforcer.tokens.introspection.metadata import EndpointName
from enforcer.wire.callback import Callback, Operation
from enforcer.wire.http_client import HttpClient, HttpResponse

T = TypeVar("T")

Result = ServerResponse | SendFailure
"""A response, or why there is none."""


class Recorder:
    """The results of the requests to one server."""

    def __init__(self) -> None:
        self._recorded: list[tuple[EndpointName | None, Result]] = []
        self._clients: list[HttpClient] = []

    @property
    def results(self) -> list[Result]:
        """The results of all requests, in their order."""
        return [result for _, result in self._recorded]

    def last(self, endpoint: EndpointName) -> Result | None:
        """Return the result of the last request to an endpoint; None if there was none."""
        return next((result for name, result in reversed(self._recorded) if name == endpoint), None)

    def observe(self, endpoint: EndpointName | None, url: str, client: HttpClient) -> Sender:
        """Return a sender that records the results of what a client sends to a URL."""
        self._clients.append(client)
        return _RecordedSender(endpoint, url, client, self._recorded)

    def close(self) -> None:
        """End the connections of all clients."""
        for client in self._clients:
            client.pool.abort()


class _RecordedSender:
    def __init__(
        self,
        endpoint: EndpointName | None,
        url: str,
        sender: Sender,
        recorded: list[tuple[EndpointName | None, Result]],
    ) -> None:
        self._endpoint = endpoint
        self._url = url
        self._sender = sender
        self._recorded = recorded

    def send(self, request: bytes, client: str, callback: Callback[EndpointResult]) -> EndpointResult | None:
        sent = time.time()
        result = self._sender.send(request, client, partial(self._on_result, sent, callback))
        if result is not None:
            self._record(sent, result)
        return result

    def close(self) -> None:
        self._sender.close()

    def _on_result(self, sent: float, callback: Callback[EndpointResult], result: EndpointResult) -> None:
        self._record(sent, result)
        callback(result)

    def _record(self, sent: float, result: EndpointResult) -> None:
        recorded: Result
        if isinstance(result, HttpResponse):
            names = {name.lower() for name in result.lines[::4]}
            fields = {name.decode("latin-1"): result.field(name).decode("latin-1") for name in names}
            recorded = ServerResponse(self._url, result.status, fields, result.body, sent, time.time())
        else:
            recorded = result
        self._recorded.append((self._endpoint, recorded))


async def outcome_of(operation: Operation[T]) -> T:
    """Return the result of an operation."""
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    result = operation(future.set_result)
    return await future if result is None else result
