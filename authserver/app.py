"""The authorization server over HTTP."""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import cast
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from authserver import metadata, signing
from authserver.authentication import authenticate
from authserver.clients import Client, Clients
from authserver.endpoints import Endpoints
from authserver.errors import OAuthError
from authserver.forms import Form, parse_form
from authserver.store import TokenStore
from authserver.tokens import JsonObject

log = logging.getLogger(__name__)

Operation = Callable[[Client, Form, int, Sequence[str]], JsonObject]
"""Takes the client, the request parameters, the current time in whole seconds, and the values of the DPoP fields."""
Clock = Callable[[], float]

MAX_FORM = 64 * 1024
"""Largest accepted form, in bytes: many times the size of any token, and harmless in memory."""

# RFC 6749 §5.1: caches must not store a response that may contain a token.
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def build(clients: Clients, store: TokenStore, issuer: str, clock: Clock = time.time) -> Starlette:
    """Return the authorization server, with its endpoints below the path of the issuer.

    `clock` returns Unix time in seconds. The caller closes the store.
    """
    key = signing.read_key(store.signing_key(signing.generate_key))
    endpoints = Endpoints(issuer=issuer, key=key, store=store)
    base = urlsplit(issuer).path

    def operation(path: str, run: Operation) -> Route:
        return Route(base + path, _endpoint(run, clients, clock), methods=["POST"])

    def document(path: str, content: JsonObject) -> Route:
        async def endpoint(_: Request) -> Response:
            return JSONResponse(content)

        return Route(path, endpoint)

    app = Starlette(
        routes=[
            operation(metadata.TOKEN_PATH, endpoints.token),
            operation(metadata.INTROSPECT_PATH, lambda client, form, now, _: endpoints.introspect(client, form, now)),
            operation(metadata.REVOKE_PATH, lambda client, form, now, _: endpoints.revoke(client, form, now)),
            document(base + metadata.JWKS_PATH, signing.public_keys(key)),
            document(metadata.WELL_KNOWN + base, metadata.metadata(issuer, clients)),
        ],
        exception_handlers={HTTPException: _http_error},
    )
    # The Location of such a redirect would come from the Host field, and no path here ends with a slash.
    app.router.redirect_slashes = False
    return app


def _endpoint(operation: Operation, clients: Clients, clock: Clock) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            form = parse_form(request.headers.get("content-type", ""), await _body(request))
            client = authenticate(clients, request.headers.getlist("authorization"), form)
            content = operation(client, form, int(clock()), request.headers.getlist("dpop"))
            return JSONResponse(content, headers=NO_STORE)
        except OAuthError as refusal:
            log.info("refused %s: %s, %s", request["path"], refusal.code, refusal.description)
            return _refusal(refusal)

    return endpoint


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_FORM:
                raise HTTPException(413)
    except ClientDisconnect:
        raise HTTPException(400) from None
    return bytes(body)


def _refusal(refusal: OAuthError) -> Response:
    headers = dict(NO_STORE)
    if refusal.status == 401:
        # RFC 9110 §15.5.2: a 401 response always has a challenge.
        headers["WWW-Authenticate"] = 'Basic realm="authserver", charset="UTF-8"'
    content = {"error": refusal.code, "error_description": refusal.description}
    return JSONResponse(content, refusal.status, headers)


async def _http_error(_: Request, error: Exception) -> Response:
    refusal = cast("HTTPException", error)
    content = {"error": "invalid_request", "error_description": refusal.detail}
    return JSONResponse(content, refusal.status_code, {**NO_STORE, **(refusal.headers or {})})
