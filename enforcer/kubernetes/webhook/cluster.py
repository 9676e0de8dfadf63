"""A client for the API server: the few calls that the webhook makes, each with a timeout and a size limit."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from enforcer.errors import EnforcerError

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Folder in which the kubelet puts `token`, `ca.crt` and `namespace`."""
_TIMEOUT: Final = 2.0
"""Seconds per call, to the end of its response. An admission waits for at most one call, and API servers wait five
seconds for an admission."""
_MAX_BYTES: Final = 4 * 1024 * 1024
"""Size of a response: more than any single object that an API server stores."""
_CALLS: Final = httpx.Limits(max_connections=32, max_keepalive_connections=8)
"""Calls at once: reviews that come faster wait, and share the timeout."""
_SHOWN: Final = 200
"""Characters of a response that an error message quotes."""

_WEBHOOKS: Final = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"

Document = dict[str, Any]


class ClusterError(EnforcerError):
    """A failed call of the API server; `status` is 0 if there was no response."""

    def __init__(self, call: str, status: int, reason: str) -> None:
        super().__init__(f"{call}: {status} {reason}" if status else f"{call}: {reason}")
        self.status = status


class Cluster:
    """Calls the API server with a ServiceAccount's token, which is read for each call because it rotates."""

    def __init__(self, url: str, account: Path = SERVICE_ACCOUNT) -> None:
        self._token = account / "token"
        context = ssl.create_default_context(cafile=str(account / "ca.crt"))
        self._client = httpx.AsyncClient(base_url=url, verify=context, timeout=_TIMEOUT, limits=_CALLS, trust_env=False)

    async def close(self) -> None:
        await self._client.aclose()

    async def version(self) -> tuple[int, int]:
        """Return the version of Kubernetes, as (1, 33)."""
        response = await self._call("GET", "/version")
        try:
            # Some distributions write "33+".
            return int(response["major"]), int(str(response["minor"]).rstrip("+"))
        except (KeyError, ValueError):
            raise ClusterError("GET /version", 200, "the response has no version") from None

    async def namespace(self, name: str) -> Document:
        return await self._call("GET", f"/api/v1/namespaces/{name}")

    async def secret(self, namespace: str, name: str) -> Document:
        return await self._call("GET", f"/api/v1/namespaces/{namespace}/secrets/{name}")

    async def replace_secret(self, secret: Document) -> Document:
        """Store a Secret that was read before; raises ClusterError with status 409 if it has changed since."""
        meta = secret["metadata"]
        return await self._call("PUT", f"/api/v1/namespaces/{meta['namespace']}/secrets/{meta['name']}", secret)

    async def webhooks(self, name: str) -> Document:
        return await self._call("GET", f"{_WEBHOOKS}/{name}")

    async def patch_webhooks(self, name: str, patch: Sequence[Mapping[str, Any]]) -> Document:
        """Patch a MutatingWebhookConfiguration with a JSON patch (RFC 6902)."""
        return await self._call("PATCH", f"{_WEBHOOKS}/{name}", patch, "application/json-patch+json")

    async def record(self, event: Document) -> None:
        """Create an Event in its namespace."""
        await self._call("POST", f"/api/v1/namespaces/{event['metadata']['namespace']}/events", event)

    async def _call(self, method: str, path: str, content: Any = None, media: str = "application/json") -> Document:
        call = f"{method} {path}"
        headers = {"Authorization": f"Bearer {self._bearer(call)}", "Accept": "application/json"}
        # A compressed response could expand to any size.
        headers["Accept-Encoding"] = "identity"
        if content is not None:
            headers["Content-Type"] = media
        body = None if content is None else json.dumps(content).encode()
        try:
            # httpx has timeouts for parts of a call only.
            async with (
                asyncio.timeout(_TIMEOUT),
                self._client.stream(method, path, content=body, headers=headers) as response,
            ):
                text = await _read(call, response)
        except TimeoutError:
            raise ClusterError(call, 0, f"no response within {_TIMEOUT:g} s") from None
        except httpx.HTTPError as error:
            raise ClusterError(call, 0, str(error) or type(error).__name__) from None
        document = _object(text)
        if not response.is_success:
            raise ClusterError(call, response.status_code, _reason(document, text))
        if document is None:
            raise ClusterError(call, response.status_code, "the response is not a JSON object")
        return document

    def _bearer(self, call: str) -> str:
        try:
            return self._token.read_text("ascii").strip()
        except (OSError, UnicodeError):
            raise ClusterError(call, 0, f"no token can be read from {self._token}") from None


async def _read(call: str, response: httpx.Response) -> bytearray:
    text = bytearray()
    async for chunk in response.aiter_raw():
        text += chunk
        if len(text) > _MAX_BYTES:
            raise ClusterError(call, response.status_code, f"the response has more than {_MAX_BYTES} bytes")
    return text


def _object(text: bytearray) -> Document | None:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _reason(document: Document | None, text: bytearray) -> str:
    """Return the `message` of a Status, or the beginning of any other response."""
    message = document.get("message") if document is not None else None
    return (message if isinstance(message, str) else text.decode("utf-8", "replace"))[:_SHOWN]
