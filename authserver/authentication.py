"""Client authentication (RFC 6749 §2.3.1)."""

import hmac
from base64 import b64decode
from collections.abc import Sequence
from hashlib import sha256
from urllib.parse import unquote_plus

from authserver.clients import Client, Clients
from authserver.errors import OAuthError
from authserver.forms import Form, required

METHODS = ("client_secret_basic", "client_secret_post")


def authenticate(clients: Clients, authorization: Sequence[str], form: Form) -> Client:
    """Return the client that authenticates with its secret.

    `authorization` contains all Authorization fields of the request. Raises `OAuthError`: invalid_request for more than
    one authentication method, invalid_client (401) for anything but the secret of a registered client.
    """
    if authorization:
        # RFC 6749 §2.3: a client must not use more than one authentication method in a request.
        if len(authorization) > 1 or "client_secret" in form:
            raise OAuthError("invalid_request", "use only one client authentication method")
        client_id, secret = _basic(authorization[0])
        if form.get("client_id", client_id) != client_id:
            raise OAuthError("invalid_request", "the parameter client_id names another client than the credentials")
    elif "client_secret" in form:
        client_id, secret = required(form, "client_id"), form["client_secret"]
    else:
        raise _invalid_client("client authentication is missing")

    client = clients.get(client_id)
    # Secrets of unknown clients are compared, too, and digests have the same length, so that response times reveal
    # neither which clients are registered nor how much of a secret is correct.
    matches = hmac.compare_digest(_digest(secret), _digest(client.secret if client else ""))
    if client is None or not matches:
        raise _invalid_client("client authentication failed")
    return client


def _basic(authorization: str) -> tuple[str, str]:
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise _invalid_client("authenticate with the Basic scheme or with form parameters")
    try:
        decoded = b64decode(credentials.strip(" "), validate=True).decode()
        client_id, colon, secret = decoded.partition(":")
        if not colon:
            raise _invalid_client("the Basic credentials are malformed")
        # RFC 6749 §2.3.1: both are form-urlencoded before they are joined, so that a colon in them is not a separator.
        return unquote_plus(client_id, errors="strict"), unquote_plus(secret, errors="strict")
    except ValueError:
        raise _invalid_client("the Basic credentials are malformed") from None


def _digest(secret: str) -> bytes:
    return sha256(secret.encode()).digest()


def _invalid_client(description: str) -> OAuthError:
    return OAuthError("invalid_client", description, status=401)
