"""Connects to a server step by step (name, TCP, TLS), so that a failure names the step. Every wait has a timeout."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final

from enforcer.doctor import diagnosis
from enforcer.doctor.diagnosis import Finding, is_right, right, warning, wrong
from enforcer.errors import UpstreamError, UpstreamFailure
from enforcer.settings.connections.addresses import Location, is_ip, with_port
from enforcer.settings.connections.tls import ClientTLS
from enforcer.wire.dialing.address_list import Address, alternate
from enforcer.wire.http2.frames import PREFACE, SETTINGS

_NO_SOCKET: Final = "start the server, or correct the socket's path"
_NO_LISTENER: Final = "start the server, or correct host and port"
_NO_RESPONSE: Final = "correct host and port; a firewall or network policy may be in the way"
_NO_NAME: Final = "correct the host, or this machine's name resolution"
_SLOW: Final = "see the server's log, or raise the timeout"
_DEAD_ADDRESS: Final = "start a server there, or remove the address from the name: it delays some connections by 250 ms"
_NO_HTTP: Final = "correct host, port, and http:// or https://"
UNEXPECTED_TLS: Final = wrong("HTTP", "the server speaks TLS on this port", "use https://, or the port for plain HTTP")

_RECORD_TIMEOUT: Final = 1.0
"""Seconds for a first record of TLS, or a first frame of HTTP/2: a server that speaks it answers at once."""
_NO_SETTINGS: Final = b"\0\0\0\x04\0\0\0\0\0"
"""A SETTINGS frame without settings (RFC 9113 §6.5); its fourth byte is the type."""
_RECORD_TYPES: Final = (b"\x15", b"\x16")
"""The first byte of a server's first record: an alert, or its part of the handshake (RFC 8446 §5.1)."""

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

    @property
    def address(self) -> str | None:
        """The first address that accepted a connection; None if none did, and for a Unix socket."""
        return self._addresses[0] if self._addresses else None

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

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._location.unix is not None:
            return await asyncio.open_unix_connection(self._location.unix)
        if self._context is not None:
            return await self._open_tls()
        return await asyncio.open_connection(self._addresses[0], self._location.port)

    async def _open_tls(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(
            self._addresses[0], self._location.port, ssl=self._context, server_hostname=self._name
        )

    async def explain(self, error: UpstreamError, within: float) -> Finding:
        """Return why a request got no response within so many seconds."""
        if error.reason is UpstreamFailure.TIMEOUT:
            return wrong("HTTP", f"no complete response within {within:g} s", _SLOW)
        if await self.has_unexpected_tls():
            return UNEXPECTED_TLS
        if error.reason is UpstreamFailure.MALFORMED:
            return wrong("HTTP", f"the response is not one of HTTP/1.1: {error.detail}", _NO_HTTP)
        return await self._refused_certificate() or wrong("HTTP", error.detail, "see the server's log")

    async def speaks_http2(self) -> bool:
        """Return whether the server selects HTTP/2 with TLS, or answers its preface with SETTINGS on plain text."""
        if self._context is not None:
            self._context.set_alpn_protocols(["h2"])
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(_RECORD_TIMEOUT):
                reader, writer = await self._open()
                if self._context is not None:
                    chosen: str | None = writer.get_extra_info("ssl_object").selected_alpn_protocol()
                    return chosen == "h2"
                writer.write(PREFACE + _NO_SETTINGS)
                return (await reader.readexactly(len(_NO_SETTINGS)))[3] == SETTINGS
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return False
        finally:
            if writer is not None:
                writer.transport.abort()

    async def has_unexpected_tls(self) -> bool:
        """Return whether the server speaks TLS, although the URL has http://."""
        if self._context is not None or self._location.unix is not None:
            return False
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(_RECORD_TIMEOUT):
                reader, writer = await asyncio.open_connection(self._addresses[0], self._location.port)
                writer.write(_client_hello())
                return await reader.read(1) in _RECORD_TYPES
        except (OSError, TimeoutError):
            return False
        finally:
            if writer is not None:
                writer.transport.abort()

    async def _refused_certificate(self) -> Finding | None:
        """Return whether a connection broke because the server wants a client certificate.

        Such a server refuses after the handshake (RFC 8446 §4.4.2.4), and its alert is lost if we are already writing.
        So open another connection, and only read.
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
        return None


def _client_hello() -> bytes:
    """Return the first record of a TLS handshake (RFC 8446 §4.1.2)."""
    outgoing = ssl.MemoryBIO()
    connection = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="a")
    with suppress(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


def is_this_machine(address: str) -> bool:
    """Return whether an IP address is one of this machine."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as local:
        try:
            local.bind((address, 0))
        except OSError:
            return False
    return True


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
