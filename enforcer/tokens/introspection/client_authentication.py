"""Client authentication: how the enforcer authenticates to an authorization server's endpoints."""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from typing import NamedTuple, Protocol
from urllib.parse import quote_plus

from enforcer.errors import IntrospectionError
from enforcer.secret import Secret
from enforcer.wire.callback import Callback


class Credentials(NamedTuple):
    """The credentials in a request: whole field lines, and form parameters, each preceded by `&`."""

    lines: bytes = b""
    form: bytes = b""

    def __repr__(self) -> str:
        return "Credentials(***)"


class Authentication(Protocol):
    """A method of client authentication."""

    def authenticate(
        self, callback: Callback[Credentials | IntrospectionError]
    ) -> Credentials | IntrospectionError | None:
        """Get the credentials for the next request, or why there are none."""

    @property
    def renewable(self) -> bool:
        """Whether there may be others than those that the server rejects."""

    def renew(
        self, rejected: Credentials, callback: Callback[Credentials | IntrospectionError]
    ) -> Credentials | IntrospectionError | None:
        """Get others than those that the server rejected; the result is the rejected ones if there are none now."""

    def close(self) -> None:
        """Stop background work."""


class ImmediateAuthentication(ABC):
    """An `Authentication` that depends on no server, and has no other credentials if the server rejects these."""

    @abstractmethod
    def credentials(self) -> Credentials:
        """Return the credentials for the next request."""

    def authenticate(self, callback: Callback[Credentials | IntrospectionError]) -> Credentials:
        """Return the credentials for the next request."""
        return self.credentials()

    @property
    def renewable(self) -> bool:
        """False: there are no others."""
        return False

    def renew(self, rejected: Credentials, callback: Callback[Credentials | IntrospectionError]) -> Credentials:
        """Return the rejected ones."""
        return rejected

    def close(self) -> None:  # noqa: B027 - not abstract, since there is nothing to stop
        """Do nothing: there is no background work."""


class StaticCredentials(ImmediateAuthentication):
    """The same credentials for every request."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def credentials(self) -> Credentials:
        """Return the credentials."""
        return self._credentials


def secret_basic(client_id: str, secret: Secret) -> StaticCredentials:
    """Authenticate by `client_secret_basic`; both halves are form-encoded first (RFC 6749 §2.3.1)."""
    pair = f"{quote_plus(client_id)}:{quote_plus(secret.reveal())}"
    return StaticCredentials(Credentials(lines=b"Authorization: Basic %b\r\n" % base64.b64encode(pair.encode())))


def secret_post(client_id: str, secret: Secret) -> StaticCredentials:
    """Authenticate by `client_secret_post` (RFC 6749 §2.3.1)."""
    form = f"&client_id={quote_plus(client_id)}&client_secret={quote_plus(secret.reveal())}"
    return StaticCredentials(Credentials(form=form.encode()))


def tls_client(client_id: str) -> StaticCredentials:
    """Authenticate by the client certificate of the connection (RFC 8705 §2)."""
    return StaticCredentials(Credentials(form=f"&client_id={quote_plus(client_id)}".encode()))
