"""The HTTP interface."""

from collections.abc import Awaitable, Callable
from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from country_app.countries import Country, InvalidCountryError, parse_country
from country_app.store import CountryStore

BASE = "/ms-system/country"

MAX_BODY = 64 * 1024
"""Largest accepted request body, in bytes: many times the size of a country, and harmless in memory."""

Endpoint = Callable[[Request], Awaitable[Response]]


def build(store: CountryStore) -> Starlette:
    """Return the app for the countries of a store. The caller closes the store.

    Codes are case-sensitive, so that every country has only one URL.
    """

    async def list_all(_: Request) -> Response:
        return JSONResponse([country.model_dump() for country in store.all()])

    async def create(request: Request) -> Response:
        country = await _country(request)
        if not store.add([country]):
            raise HTTPException(409, f"there is already a country with the code {country.code}")
        return JSONResponse(country.model_dump(), 201, {"Location": f"{BASE}/code/{country.code}"})

    async def read(request: Request) -> Response:
        country = store.get(_code(request))
        if country is None:
            raise _unknown(request)
        return JSONResponse(country.model_dump())

    async def replace(request: Request) -> Response:
        country = await _country(request, _code(request))
        if not store.replace(country):
            raise _unknown(request)
        return JSONResponse(country.model_dump())

    async def delete(request: Request) -> Response:
        if not store.delete(_code(request)):
            raise _unknown(request)
        return Response(status_code=204)

    app = Starlette(
        routes=[
            _route(BASE, GET=list_all, POST=create),
            _route(BASE + "/code/{code}", GET=read, PUT=replace, DELETE=delete),
        ],
        exception_handlers={HTTPException: _http_error, InvalidCountryError: _invalid_country},
    )
    # The Location of such a redirect would come from the Host field, and no path here ends with a slash.
    app.router.redirect_slashes = False
    return app


def _route(path: str, **endpoints: Endpoint) -> Route:
    """Return one route for all methods of a path, so that a 405 response lists all of them."""

    async def endpoint(request: Request) -> Response:
        # Starlette's pattern ends with `$`, which also matches before a trailing line feed.
        if request["path"].endswith("\n"):
            raise HTTPException(404)
        return await endpoints["GET" if request.method == "HEAD" else request.method](request)

    return Route(path, endpoint, methods=list(endpoints))


def _code(request: Request) -> str:
    return str(request.path_params["code"])


def _unknown(request: Request) -> HTTPException:
    return HTTPException(404, f"there is no country with the code {_code(request)}")


async def _country(request: Request, code: str | None = None) -> Country:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                raise HTTPException(413)
    except ClientDisconnect:
        raise HTTPException(400) from None
    return parse_country(bytes(body), code)


async def _http_error(_: Request, error: Exception) -> Response:
    refusal = cast("HTTPException", error)
    return JSONResponse({"detail": refusal.detail}, refusal.status_code, refusal.headers)


async def _invalid_country(_: Request, error: Exception) -> Response:
    invalid = cast("InvalidCountryError", error)
    return JSONResponse({"detail": "the country is not valid", "problems": list(invalid.problems)}, 422)
