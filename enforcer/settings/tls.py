"""TLS of a listener and of connections to other servers; the files are loaded when the settings are read."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from enforcer.settings.external import ReadableFile, Text
from enforcer.units import CLOSED


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTLS:
    """TLS towards clients. Paths are relative to the configuration's folder."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    certificate: ReadableFile
    """File with the certificate and those that lead from it to an authority, PEM."""
    key: ReadableFile
    """File with the certificate's private key, PEM, not encrypted."""
    client_ca: ReadableFile | None = None
    """File with the authorities of which clients show a certificate, PEM; none is asked for unless set."""
    client_certificate: Literal["required", "optional"] = "required"
    """Whether every client must show a certificate of `client_ca`, or may. A token that is bound to one (RFC 8705) is
    worth nothing without it. One that is of no such authority is refused in any case."""
    context: ssl.SSLContext = field(init=False, repr=False, compare=False)
    """What the files make, as they were read."""

    def __post_init__(self) -> None:
        if self.client_certificate == "optional" and self.client_ca is None:
            raise ValueError("client_certificate: optional needs client_ca, of which certificates are asked for")
        object.__setattr__(self, "context", _loaded(self._load))

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.client_ca)
        context.load_cert_chain(self.certificate, self.key, _no_password)
        if self.client_ca is not None:
            optional = self.client_certificate == "optional"
            context.verify_mode = ssl.CERT_OPTIONAL if optional else ssl.CERT_REQUIRED
        return context


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTLS:
    """TLS towards a server that is called. Paths are relative to the configuration's folder."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    ca: ReadableFile | None = None
    """File with the authorities that the server's certificate may come from, PEM; those of the system unless set."""
    server_name: Text | None = None
    """Name that the server's certificate must have; the URL's host unless set."""
    certificate: ReadableFile | None = None
    """File with the certificate that is shown to the server, PEM; needs `key`. None unless set."""
    key: ReadableFile | None = None
    """File with that certificate's private key, PEM, not encrypted."""
    context: ssl.SSLContext = field(init=False, repr=False, compare=False)
    """What the files make, as they were read."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key are set together, or neither")
        object.__setattr__(self, "context", _loaded(self._load))

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca)
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key, _no_password)
        return context


def _loaded(load: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    try:
        return load()
    except OSError as error:
        # OpenSSL gives no reason for a file that is not what it should be.
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        said = (reason or "not PEM of the right kind, or a key with a password").replace("_", " ")
        raise ValueError(f"the files cannot be used for TLS: {said}") from None


def _no_password() -> str:
    # Without this, OpenSSL asks the terminal for the password of an encrypted key.
    return ""
