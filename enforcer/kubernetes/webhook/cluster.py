"""The API server, as a pod's own ServiceAccount may use it: the few calls that the webhook makes, each with an end."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from enforcer.errors import EnforcerError

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet puts `token`, `ca.crt` and `namespace`."""
_TIMEOUT: Final = 2.0
"""Seconds for a call: an admission, which the API server gives five, waits for one at most."""
_MOST_BYTES: Final = 4 * 1024 * 1024
"""Of an answer: more than any single object that an API server keeps."""
_SHOWN: Final = 200
"""Characters of an answer that an error shows."""

_WEBHOOKS: Final = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"

Document = dict[str, Any]


class ClusterError(EnforcerError):
    """The API server did not do as asked; `status` is 0 where it did not answer."""

    def __init__(self, call: str, status: int, why: str) -> None:
        super().__init__(f"{call}: {status} {why}" if status else f"{call}: {why}")
        self.status = status


class Cluster:
    """Speaks to the API server with the token of a ServiceAccount, which is read anew for each call: it rotates."""

    def __init__(self, url: str, account: Path = SERVICE_ACCOUNT) -> None:
        self._token = account / "token"
        context = ssl.create_default_context(cafile=str(account / "ca.crt"))
        self._client = httpx.AsyncClient(base_url=url, verify=context, timeout=_TIMEOUT, trust_env=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def version(self) -> tuple[int, int]:
        """Return the version of Kubernetes, as (1, 33)."""
        answer = await self._call("GET", "/version")
        try:
            # Some distributions write "33+".
            return int(answer["major"]), int(str(answer["minor"]).rstrip("+"))
        except (KeyError, ValueError):
            raise ClusterError("GET /version", 200, "no version in the answer") from None

    async def namespace(self, name: str) -> Document:
        """Return a Namespace."""
        return await self._call("GET", f"/api/v1/namespaces/{name}")

    async def secret(self, namespace: str, name: str) -> Document:
        """Return a Secret."""
        return await self._call("GET", f"/api/v1/namespaces/{namespace}/secrets/{name}")

    async def replace_secret(self, secret: Document) -> Document:
        """Store a Secret that was read before; status 409 where somebody else was faster."""
        meta = secret["metadata"]
        return await self._call("PUT", f"/api/v1/namespaces/{meta['namespace']}/secrets/{meta['name']}", secret)

    async def webhooks(self, name: str) -> Document:
        """Return a MutatingWebhookConfiguration."""
        return await self._call("GET", f"{_WEBHOOKS}/{name}")

    async def patch_webhooks(self, name: str, patch: Sequence[Mapping[str, Any]]) -> Document:
        """Change a MutatingWebhookConfiguration by a JSON patch (RFC 6902)."""
        return await self._call("PATCH", f"{_WEBHOOKS}/{name}", patch, "application/json-patch+json")

    async def record(self, event: Document) -> None:
        """Record an Event, in the namespace that it names."""
        await self._call("POST", f"/api/v1/namespaces/{event['metadata']['namespace']}/events", event)

    async def _call(self, method: str, path: str, content: Any = None, media: str = "application/json") -> Document:
        call = f"{method} {path}"
        headers = {"Authorization": f"Bearer {self._bearer(call)}", "Accept": "application/json"}
        if content is not None:
            headers["Content-Type"] = media
        body = None if content is None else json.dumps(content).encode()
        try:
            async with self._client.stream(method, path, content=body, headers=headers) as answer:
                text = await _whole(call, answer)
        except httpx.HTTPError as error:
            raise ClusterError(call, 0, str(error) or type(error).__name__) from None
        document = _object(text)
        if not answer.is_success:
            raise ClusterError(call, answer.status_code, _reason(document, text))
        if document is None:
            raise ClusterError(call, answer.status_code, "the answer is no JSON object")
        return document

    def _bearer(self, call: str) -> str:
        try:
            return self._token.read_text("ascii").strip()
        except (OSError, UnicodeError):
            raise ClusterError(call, 0, f"no token can be read from {self._token}") from None


async def _whole(call: str, answer: httpx.Response) -> bytes:
    text = b""
    async for piece in answer.aiter_bytes():
        text += piece
        if len(text) > _MOST_BYTES:
            raise ClusterError(call, answer.status_code, f"the answer has more than {_MOST_BYTES} bytes")
    return text


def _object(text: bytes) -> Document | None:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _reason(document: Document | None, text: bytes) -> str:
    """Say why: the `message` of a Status, or the beginning of what came instead."""
    message = document.get("message") if document is not None else None
    return (message if isinstance(message, str) else text.decode("utf-8", "replace"))[:_SHOWN]
