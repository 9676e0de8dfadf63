"""The way to a server, step by step: name, TCP, TLS, HTTP; each is tried by itself, to tell which one fails.

Every wait is bounded, and a redirect is an answer: it is not followed.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import httpx

from enforcer.doctor.diagnosis import (
    Finding,
    Seen,
    Verdict,
    bad_certificate,
    certificate,
    failed_handshake,
    right,
    wrong,
)
from enforcer.settings.addresses import Location
from enforcer.settings.tls import ClientTLS

_NO_SOCKET: Final = "start the server, or correct the socket's path"
_NO_LISTENER: Final = "start the server, or correct host and port"
_SILENCE: Final = "correct host and port; a firewall or network policy may be in the way"
_NO_NAME: Final = "correct the host, or see to this machine's name resolution"
_NO_HTTP: Final = "correct host, port, and http:// or https://"


class ConnectionProbe:
    """The way to one server; `tls` is how it is verified, `patience` the seconds that each step to it may take."""

    def __init__(self, location: Location, tls: ClientTLS | None, patience: float) -> None:
        self._location = location
        self._context = (tls or ClientTLS()).context if location.secure else None
        self._name = (tls.server_name if tls is not None else None) or location.host
        self._patience = patience
        self._addresses: list[str] = []

    async def reach(self) -> list[Finding]:
        """Find the server, connect and shake hands; the first finding that is wrong is the last."""
        findings: list[Finding] = []
        for what, step, advice in self._steps():
            try:
                async with asyncio.timeout(self._patience):
                    finding = await step()
            except TimeoutError:
                finding = wrong(what, f"no answer within {self._patience:g} s", advice)
            findings.append(finding)
            if finding.verdict is Verdict.WRONG:
                break
        return findings

    def _steps(self) -> Sequence[tuple[str, Callable[[], Awaitable[Finding]], str]]:
        location = self._location
        if location.unix is not None:
            return [("socket", self._connect_unix, _NO_SOCKET)]
        steps = [("TCP", self._connect, _SILENCE)]
        if _is_address(location.host):
            self._addresses = [location.host]
        else:
            steps.insert(0, ("name", self._resolve, _NO_NAME))
        if self._context is not None:
            steps.append(("TLS", self._shake_hands, _SILENCE))
        return steps

    async def _resolve(self) -> Finding:
        host = self._location.host
        try:
            found = await _look_up(host)
        except OSError as error:
            return wrong("name", f"{host} cannot be resolved: {_words(error)}", _NO_NAME)
        self._addresses = found
        return right("name", f"{host} is {', '.join(found)}")

    async def _connect(self) -> Finding:
        failures = []
        for address in self._addresses:
            at = _place(address, self._location.port)
            started = time.perf_counter()
            try:
                _, writer = await asyncio.open_connection(address, self._location.port)
            except OSError as error:
                failures.append(f"{at}: {_words(error)}")
                continue
            writer.transport.abort()
            # The one that answers is the one that is used, as by the enforcer, which tries them in the same order.
            self._addresses = [address]
            return right("TCP", f"{at} connects in {_milliseconds(time.perf_counter() - started)}")
        return wrong("TCP", "; ".join(failures), _NO_LISTENER)

    async def _connect_unix(self) -> Finding:
        try:
            _, writer = await asyncio.open_unix_connection(self._location.unix)
        except OSError as error:
            return wrong("socket", _words(error), _NO_SOCKET)
        writer.transport.abort()
        return right("socket", "connects")

    async def _shake_hands(self) -> Finding:
        started = time.time()
        try:
            _, writer = await self._open_tls()
        except ssl.SSLError as error:
            return _tls(error)
        except OSError as error:
            return wrong("TLS", f"the server ends the handshake: {_words(error)}", _NO_HTTP)
        connection = writer.get_extra_info("ssl_object")
        ends = ssl.cert_time_to_seconds(connection.getpeercert()["notAfter"])
        version = connection.version()
        writer.transport.abort()
        return certificate(version, self._name, ends, started)

    async def _open_tls(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(
            self._addresses[0], self._location.port, ssl=self._context, server_hostname=self._name
        )

    def client(self) -> httpx.AsyncClient:
        """Return a client that takes this way; proxies of the environment are not used, as the enforcer uses none."""
        # Without TLS, an empty context: it trusts nobody, and loads nothing.
        context = self._context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        transport = httpx.AsyncHTTPTransport(verify=context, trust_env=False, uds=self._location.unix)
        return httpx.AsyncClient(transport=transport, trust_env=False, timeout=None)  # noqa: S113 - `ask` bounds all

    async def ask(
        self, client: httpx.AsyncClient, method: str, url: str, *, patience: float, most: int, **content: Any
    ) -> Seen | Finding:
        """Make a request, and return the answer, or what is wrong with the way.

        All of it takes `patience` seconds at most, and `most` bytes of the answer are read.
        """
        started = time.perf_counter()

        async def note(event: str, _: Mapping[str, Any]) -> None:
            # What comes before is not the server's time: loading the client's modules, and connecting.
            if event.endswith("send_request_headers.started"):
                nonlocal started
                started = time.perf_counter()

        body = b""
        extensions = {"sni_hostname": self._name, "trace": note}
        try:
            async with (
                asyncio.timeout(patience),
                client.stream(method, url, extensions=extensions, **content) as response,
            ):
                async for piece in response.aiter_raw():
                    body += piece
                    if len(body) > most:
                        break
        except TimeoutError:
            return wrong(
                "HTTP", f"no whole answer within {patience:g} s", "see the server's log, or allow it more time"
            )
        except httpx.RemoteProtocolError:
            return wrong("HTTP", "the server does not answer in HTTP/1.1", _NO_HTTP)
        except ssl.SSLError as error:
            return _tls(error)
        except (httpx.TransportError, OSError):
            return await self._broken()
        seconds, received = time.perf_counter() - started, time.time()
        return Seen(
            url, response.status_code, dict(response.headers), body, len(body) > most, received - seconds, received
        )

    async def _broken(self) -> Finding:
        """Say why a connection broke under a request.

        A server that wants a certificate of ours refuses after the handshake (RFC 8446 §4.4.2.4), and the alert is lost
        when we have begun to write: so it is listened for on a connection of its own.
        """
        if self._context is not None:
            try:
                async with asyncio.timeout(self._patience):
                    reader, writer = await self._open_tls()
                    await reader.read(1)
                    writer.transport.abort()
            except ssl.SSLError as error:
                return _tls(error)
            except OSError:
                pass
        return wrong("HTTP", "the connection broke before the answer was whole", "see the server's log")


async def _look_up(host: str) -> list[str]:
    """Return a name's addresses, in the order to try them; raises OSError.

    On a thread that nobody waits for: a name server that is silent would hold the end of the program.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[str] | OSError] = loop.create_future()

    def tell(result: list[str] | OSError) -> None:
        if not found.done():
            found.set_result(result)

    def look_up() -> None:
        result: list[str] | OSError
        try:
            infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            result = list(dict.fromkeys(str(address[0]) for *_, address in infos))
        except UnicodeError:
            result = OSError(0, "no name can be written so")
        except OSError as error:
            result = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, result)

    threading.Thread(target=look_up, daemon=True).start()
    result = await found
    if isinstance(result, OSError):
        raise result
    return result


def _tls(error: ssl.SSLError) -> Finding:
    if isinstance(error, ssl.SSLCertVerificationError):
        return bad_certificate(error.verify_code)
    return failed_handshake(error.reason)


def _words(error: OSError) -> str:
    # asyncio puts addresses into the text; the system's own words are enough. Of a name, the errno is below 0.
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return (error.strerror or "the connection was closed").lower()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _place(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
