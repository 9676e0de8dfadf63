"""Authorization server metadata (RFC 8414, OpenID Connect Discovery): the URLs of its endpoints. Pure.

1. Metadata is accepted only if it names the issuer that it was requested for (RFC 8414 §3.3).
2. An https issuer has only https endpoints, so that nothing is sent in the clear.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, get_args

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.documents.strict_json import read_document

# RFC 3986 §3, printable ASCII; without userinfo, which can disguise the host, and fragment, which is never sent
_AUTHORITY: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]"
_ISSUER = re.compile(rf"((https?)://(?:{_AUTHORITY})(?::[0-9]{{1,5}})?)((?:/[!$-.0->@-~]*)*)")
_ENDPOINT = re.compile(rf"(https?)://(?:{_AUTHORITY})(?::[0-9]{{1,5}})?(?:[/?][!$-~]*)?")

EndpointName = Literal["introspection_endpoint", "jwks_uri", "token_endpoint"]
"""The endpoints used here, by their names in the metadata (RFC 8414 §2)."""


PLACEHOLDER: Final = (
    "no token's iss has braces; write the issuer of your own tenant, "
    "such as https://login.microsoftonline.com/TENANT-ID/v2.0"
)
"""Advice about an issuer with a placeholder, such as the one that Entra ID names for several tenants at once."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """The URLs of an authorization server's endpoints."""

    issuer: str
    endpoints: Mapping[EndpointName, str]


def well_known_urls(issuer: str) -> tuple[str, ...]:
    """Return the URLs where a server's metadata may be, RFC 8414's first; raises ValueError if it is not an issuer.

    The well-known part is before the issuer's path in RFC 8414 §3.1 and §5, after it in OpenID Connect Discovery §4.1.
    """
    match = _ISSUER.fullmatch(issuer)
    if match is None:
        raise ValueError("not an issuer such as https://auth.example.org/tenant, without query and fragment")
    origin, path = match[1], match[3].removesuffix("/")
    urls = (
        f"{origin}/.well-known/oauth-authorization-server{path}",
        f"{origin}/.well-known/openid-configuration{path}",
        f"{origin}{path}/.well-known/openid-configuration",
    )
    return tuple(dict.fromkeys(urls))


def is_template(issuer: str) -> bool:
    """Return whether a text is not an issuer, but stands for several: it has a placeholder in braces."""
    return "{" in issuer or "}" in issuer


def parse(body: bytes, issuer: str, *, mutual_tls: bool = False) -> Metadata:
    """Read the metadata of an issuer; raises IntrospectionError (malformed).

    With `mutual_tls`, the endpoints for clients that authenticate by certificate replace the others (RFC 8705 §5).
    """
    members = read_document(body, "its metadata")
    published = members.get("issuer")
    if isinstance(published, str) and is_template(published):
        raise _malformed(f"its issuer has a placeholder: {PLACEHOLDER}")
    if published != issuer:
        raise _malformed("it names another issuer, or this one in another spelling")
    aliases = members.get("mtls_endpoint_aliases") if mutual_tls else None
    if not isinstance(aliases, dict | None):
        raise _malformed("mtls_endpoint_aliases is not an object")
    urls = members | {name: url for name, url in (aliases or {}).items() if url is not None}
    insecure = issuer.startswith("http://")
    names: tuple[EndpointName, ...] = get_args(EndpointName)
    endpoints = {name: _endpoint(urls[name], name, insecure) for name in names if urls.get(name) is not None}
    return Metadata(issuer, MappingProxyType(endpoints))


def _endpoint(url: object, name: EndpointName, insecure: bool) -> str:
    match = _ENDPOINT.fullmatch(url) if isinstance(url, str) else None
    if match is None:
        raise _malformed(f"{name} is not a URL without user and fragment")
    if match[1] != "https" and not insecure:
        raise _malformed(f"{name} is not https, and the issuer is")
    return match[0]


def _malformed(detail: str) -> IntrospectionError:
    return IntrospectionError(IntrospectionFailure.MALFORMED, f"its metadata: {detail}")
