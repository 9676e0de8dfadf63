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
from authserver.store import Store
from authserver.tokens import Document

log = logging.getLogger(__name__)

Act = Callable[[Client, Form, int, Sequence[str]], Document]
"""Takes the client, its parameters, the running second, and the values of the DPoP fields."""
Clock = Callable[[], float]

MAX_FORM = 64 * 1024
"""Bytes of a form: many times what any token needs, and little to hold in memory."""

# RFC 6749 §5.1: nothing that may hold a token is kept by a cache.
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def build(clients: Clients, store: Store, issuer: str, clock: Clock = time.time) -> Starlette:
    """Return the authorization server; its endpoints lie under the path of the issuer.

    `clock` tells Unix time in seconds. The store stays the caller's to close.
    """
    key = signing.read_key(store.signing_key(signing.generate_key))
    endpoints = Endpoints(issuer=issuer, key=key, store=store)
    base = urlsplit(issuer).path

    def act(path: str, act: Act) -> Route:
        return Route(base + path, _endpoint(act, clients, clock), methods=["POST"])

    def show(path: str, document: Document) -> Route:
        async def endpoint(_: Request) -> Response:
            return JSONResponse(document)

        return Route(path, endpoint)

    app = Starlette(
        routes=[
            act(metadata.TOKEN, endpoints.token),
            act(metadata.INTROSPECT, lambda client, form, now, _: endpoints.introspect(client, form, now)),
            act(metadata.REVOKE, lambda client, form, now, _: endpoints.revoke(client, form, now)),
            show(base + metadata.JWKS, signing.public_keys(key)),
            show(metadata.WELL_KNOWN + base, metadata.metadata(issuer, clients)),
        ],
        exception_handlers={HTTPException: _http_error},
    )
    # A redirect would be built from the Host field, and no path of ours ends with a slash.
    app.router.redirect_slashes = False
    return app


def _endpoint(act: Act, clients: Clients, clock: Clock) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            form = parse_form(request.headers.get("content-type", ""), await _body(request))
            client = authenticate(clients, request.headers.getlist("authorization"), form)
            document = act(client, form, int(clock()), request.headers.getlist("dpop"))
            return JSONResponse(document, headers=NO_STORE)
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
        # RFC 9110 §15.5.2: a 401 always names the scheme that would do.
        headers["WWW-Authenticate"] = 'Basic realm="authserver", charset="UTF-8"'
    content = {"error": refusal.code, "error_description": refusal.description}
    return JSONResponse(content, refusal.status, headers)


async def _http_error(_: Request, error: Exception) -> Response:
    refusal = cast("HTTPException", error)
    content = {"error": "invalid_request", "error_description": refusal.detail}
    return JSONResponse(content, refusal.status_code, {**NO_STORE, **(refusal.headers or {})})
