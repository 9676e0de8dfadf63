"""Requests over plain HTTP, without the public certificates that httpx otherwise reads for each client."""

from __future__ import annotations

import ssl
from typing import Any

import httpx

_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def client(**settings: Any) -> httpx.Client:
    """Return a client that ignores proxies of the environment."""
    return httpx.Client(verify=_NO_CERTIFICATES, trust_env=False, **settings)


def get(url: str, **request: Any) -> httpx.Response:
    """Send GET on a connection of its own."""
    with client() as own:
        return own.get(url, **request)


def post(url: str, **request: Any) -> httpx.Response:
    """Send POST on a connection of its own."""
    with client() as own:
        return own.post(url, **request)
