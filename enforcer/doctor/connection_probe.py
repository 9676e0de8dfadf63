"""Connects to a server step by step (name, TCP, TLS, HTTP), so that a failure names the step.

Every wait has a timeout. Redirects are not followed.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

import httpx

from enforcer.doctor import diagnosis
from enforcer.doctor.diagnosis import Finding, ServerResponse, is_right, right, warning, wrong
from enforcer.settings.addresses import Location, is_ip, with_port
from enforcer.settings.tls import ClientTLS
from enforcer.wire.address_list import Address, alternate

_NO_SOCKET: Final = "start the server, or correct the socket's path"
_NO_LISTENER: Final = "start the server, or correct host and port"
_NO_RESPONSE: Final = "correct host and port; a firewall or network policy may be in the way"
_NO_NAME: Final = "correct the host, or this machine's name resolution"
_SLOW: Final = "see the server's log, or raise the timeout"
_DEAD_ADDRESS: Final = "start a server there, or remove the address from the name: it delays some connections by 250 ms"
_NO_HTTP: Final = "correct host, port, and http:// or https://"


LookUp = Callable[[str], Awaitable[list[str]]]
"""Returns the addresses of a name, in the order to try them. Raises OSError."""


class ConnectionProbe:
    """Probes one server, verified with `tls`; each step to the connection may take `timeout` seconds.

    `look_up` returns the addresses of a name; it raises OSError.
    """

    def __init__(
        self, location: Location, tls: ClientTLS | None, timeout: float, look_up: LookUp | None = None
    ) -> None:
        self._location = location
        self._look_up = look_up or _look_up
        self._context = (tls or ClientTLS()).context if location.secure else None
        self._name = (tls.server_name if tls is not None else None) or location.host
        self._timeout = timeout
        self._addresses: list[str] = []

    async def connect(self) -> list[Finding]:
        """Resolve the name, connect, and do the TLS handshake; stops at the first failed step."""
        findings: list[Finding] = []
        for step in self._steps():
            results = await step()
            findings += results
            if not is_right(results):
                break
        return findings

    def _steps(self) -> list[Callable[[], Awaitable[list[Finding]]]]:
        location = self._location
        if location.unix is not None:
            return [partial(self._in_time, "socket", self._connect_unix, _NO_SOCKET)]
        steps: list[Callable[[], Awaitable[list[Finding]]]] = [self._connect_tcp]
        if is_ip(location.host):
            self._addresses = [location.host]
        else:
            steps.insert(0, partial(self._in_time, "name", self._resolve, _NO_NAME))
        if self._context is not None:
            steps.append(partial(self._in_time, "TLS", self._handshake, _NO_RESPONSE))
        return steps

    async def _in_time(self, subject: str, step: Callable[[], Awaitable[Finding]], advice: str) -> list[Finding]:
        try:
            async with asyncio.timeout(self._timeout):
                return [await step()]
        except TimeoutError:
            return [wrong(subject, self._no_response(), advice)]

    def _no_response(self) -> str:
        return f"no response within {self._timeout:g} s"

    async def _resolve(self) -> Finding:
        host = self._location.host
        try:
            self._addresses = await self._look_up(host)
        except OSError as error:
            return wrong("name", f"{host} cannot be resolved: {_reason(error)}", _NO_NAME)
        return right("name", f"{host} is {', '.join(self._addresses)}")

    async def _connect_tcp(self) -> list[Finding]:
        """Try every address: serving needs only one that accepts connections, but each dead one delays some."""
        attempts = {address: asyncio.ensure_future(self._try_address(address)) for address in self._addresses}
        await asyncio.wait(attempts.values(), timeout=self._timeout)
        accepting: list[Finding] = []
        failures: list[str] = []
        for address, attempt in attempts.items():
            place = with_port(address, self._location.port)
            if not attempt.done():
                attempt.cancel()
                failures.append(f"{place}: {self._no_response()}")
            elif (error := attempt.exception()) is not None:
                failures.append(f"{place}: {_reason(error) if isinstance(error, OSError) else type(error).__name__}")
            else:
                # Later steps use the first address that accepted, as the enforcer does, which has the same order.
                self._addresses = self._addresses if accepting else [address]
                accepting.append(right("TCP", f"{place} connects in {attempt.result() * 1000:.0f} ms"))
        if not accepting:
            advice = _NO_RESPONSE if any(self._no_response() in failure for failure in failures) else _NO_LISTENER
            return [wrong("TCP", "; ".join(failures), advice)]
        if failures and self._location.host != "localhost":  # which often has an address that nothing listens on
            accepting.append(warning("TCP", "; ".join(failures), _DEAD_ADDRESS))
        return accepting

    async def _try_address(self, address: str) -> float:
        """Return the seconds that connecting takes."""
        started = time.perf_counter()
        _, writer = await asyncio.open_connection(address, self._location.port)
        writer.transport.abort()
        return time.perf_counter() - started

    async def _connect_unix(self) -> Finding:
        try:
            _, writer = await asyncio.open_unix_connection(self._location.unix)
        except OSError as error:
            return wrong("socket", _reason(error), _NO_SOCKET)
        writer.transport.abort()
        return right("socket", "connects")

    async def _handshake(self) -> Finding:
        started = time.time()
        try:
            _, writer = await self._open_tls()
        except ssl.SSLError as error:
            return _tls_finding(error)
        except OSError as error:
            return wrong("TLS", f"the server ends the handshake: {_reason(error)}", _NO_HTTP)
        connection = writer.get_extra_info("ssl_object")
        not_after = ssl.cert_time_to_seconds(connection.getpeercert()["notAfter"])
        version = connection.version()
        writer.transport.abort()
        return diagnosis.certificate(version, self._name, not_after, started)

    async def _open_tls(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(
            self._addresses[0], self._location.port, ssl=self._context, server_hostname=self._name
        )

    def client(self) -> httpx.AsyncClient:
        """Return an HTTP client for this server. Like the enforcer, it ignores proxies of the environment."""
        # Without TLS an empty context is enough; it loads no authorities.
        context = self._context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        transport = httpx.AsyncHTTPTransport(verify=context, trust_env=False, uds=self._location.unix)
        return httpx.AsyncClient(transport=transport, trust_env=False, timeout=None)  # noqa: S113 - `send` has a timeout

    async def send(
        self, client: httpx.AsyncClient, method: str, url: str, *, within: float, max_body: int, **content: Any
    ) -> ServerResponse | Finding:
        """Send a request and return the response, or a finding if the connection fails.

        Takes `within` seconds at most and reads about `max_body` bytes of the body.
        """
        started = time.perf_counter()

        async def trace(event: str, _: Mapping[str, Any]) -> None:
            # Exclude importing the client's modules and connecting from the server's response time.
            if event.endswith("send_request_headers.started"):
                nonlocal started
                started = time.perf_counter()

        body = b""
        extensions = {"sni_hostname": self._name, "trace": trace}
        try:
            async with (
                asyncio.timeout(within),
                client.stream(method, url, extensions=extensions, **content) as response,
            ):
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > max_body:
                        break
        except TimeoutError:
            return wrong("HTTP", f"no complete response within {within:g} s", _SLOW)
        except httpx.RemoteProtocolError:
            return wrong("HTTP", "the server does not speak HTTP/1.1", _NO_HTTP)
        except ssl.SSLError as error:
            return _tls_finding(error)
        except (httpx.TransportError, OSError):
            return await self._broken_connection()
        seconds, received = time.perf_counter() - started, time.time()
        return ServerResponse(
            url, response.status_code, dict(response.headers), body, len(body) > max_body, received - seconds, received
        )

    async def _broken_connection(self) -> Finding:
        """Return why a connection broke during a request.

        A server that requires a client certificate refuses after the handshake (RFC 8446 §4.4.2.4), and its alert is
        lost if we are already writing. So open another connection, and only read.
        """
        if self._context is not None:
            try:
                async with asyncio.timeout(self._timeout):
                    reader, writer = await self._open_tls()
                    await reader.read(1)
                    writer.transport.abort()
            except ssl.SSLError as error:
                return _tls_finding(error)
            except OSError:
                pass
        return wrong("HTTP", "the connection broke before the response was complete", "see the server's log")


async def _look_up(host: str) -> list[str]:
    """Return a name's addresses, in the order to try them. Raises OSError.

    Runs on a daemon thread, because a name server that does not respond would delay the end of the program.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[str] | OSError] = loop.create_future()

    def resolve(result: list[str] | OSError) -> None:
        if not future.done():
            future.set_result(result)

    def look_up() -> None:
        result: list[str] | OSError
        try:
            infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            result = [address.host for address in alternate([Address(family, name) for family, *_, name in infos])]
        except UnicodeError:
            result = OSError(0, "the name is not valid")
        except OSError as error:
            result = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(resolve, result)

    threading.Thread(target=look_up, daemon=True).start()
    result = await future
    if isinstance(result, OSError):
        raise result
    return result


def _tls_finding(error: ssl.SSLError) -> Finding:
    if isinstance(error, ssl.SSLCertVerificationError):
        return diagnosis.bad_certificate(error.verify_code)
    return diagnosis.failed_handshake(error.reason)


def _reason(error: OSError) -> str:
    # asyncio adds addresses to strerror, so use the system's text. Errors of name resolution have an errno below 0.
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return (error.strerror or "the connection was closed").lower()
