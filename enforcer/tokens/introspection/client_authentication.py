"""How the enforcer authenticates to an authorization server: at its introspection endpoint, and where it gets its own
access token."""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, Protocol
from urllib.parse import quote_plus

from enforcer.errors import IntrospectionError
from enforcer.secret import Secret


class Credentials(NamedTuple):
    """What a request carries: whole field lines, and form parameters, each led in by `&`."""

    lines: bytes = b""
    form: bytes = b""

    def __repr__(self) -> str:
        return "Credentials(***)"


class Authentication(Protocol):
    """A way to authenticate."""

    def authenticate(self, done: Callable[[Credentials | IntrospectionError], None]) -> None:
        """Get what the next request carries; `done` gets it, or why there is none, exactly once, now or later."""

    def rejected(self, credentials: Credentials) -> bool:
        """Note that the server did not accept what it was sent; tells whether it may accept other credentials."""

    def close(self) -> None:
        """End what goes on in the background."""


class ImmediateAuthentication(ABC):
    """An `Authentication` that needs nobody else, and has nothing else to offer when the server does not accept it."""

    @abstractmethod
    def credentials(self) -> Credentials:
        """Return what the next request carries."""

    def authenticate(self, done: Callable[[Credentials | IntrospectionError], None]) -> None:
        """Give it at once."""
        done(self.credentials())

    def rejected(self, credentials: Credentials) -> bool:
        """Tell that there are no others."""
        return False

    def close(self) -> None:  # noqa: B027 - there is nothing to end
        """End nothing."""


class StaticCredentials(ImmediateAuthentication):
    """Credentials that are the same for every request."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def credentials(self) -> Credentials:
        """Return them."""
        return self._credentials


def secret_basic(client_id: str, secret: Secret) -> StaticCredentials:
    """Authenticate by `client_secret_basic`; both halves are form-encoded before all else (RFC 6749 §2.3.1)."""
    pair = f"{quote_plus(client_id)}:{quote_plus(secret.reveal())}"
    return StaticCredentials(Credentials(lines=b"Authorization: Basic %b\r\n" % base64.b64encode(pair.encode())))


def secret_post(client_id: str, secret: Secret) -> StaticCredentials:
    """Authenticate by `client_secret_post` (RFC 6749 §2.3.1)."""
    form = f"&client_id={quote_plus(client_id)}&client_secret={quote_plus(secret.reveal())}"
    return StaticCredentials(Credentials(form=form.encode()))


def tls_client(client_id: str) -> StaticCredentials:
    """Authenticate by the certificate of the connection (RFC 8705 §2)."""
    return StaticCredentials(Credentials(form=f"&client_id={quote_plus(client_id)}".encode()))
