"""What an authorization server says of itself (RFC 8414, OpenID Connect Discovery): where its endpoints are. Pure.

1. It is believed of the very issuer that it was asked of, and of no other (RFC 8414 §3.3).
2. Endpoints of an issuer that is https are https: nothing goes from there into the clear.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, get_args

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.strict_json import read_object

# RFC 3986 §3, printable ASCII; no user, which is where a URL hides another host, and no fragment, which is never sent
_AUTHORITY: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]"
_ISSUER = re.compile(rf"((https?)://(?:{_AUTHORITY})(?::[0-9]{{1,5}})?)((?:/[!$-.0->@-~]*)*)")
_ENDPOINT = re.compile(rf"(https?)://(?:{_AUTHORITY})(?::[0-9]{{1,5}})?(?:[/?][!$-~]*)?")


EndpointName = Literal["introspection_endpoint", "jwks_uri", "token_endpoint"]
"""Those that are used here, by their names in the metadata (RFC 8414 §2)."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """The endpoints that an authorization server has, as URLs."""

    issuer: str
    endpoints: Mapping[EndpointName, str]


def well_known_urls(issuer: str) -> tuple[str, ...]:
    """Return where a server's metadata may be, the standard's place first; raises ValueError on what is no issuer.

    RFC 8414 §3.1 and §5: the well-known part stands before the issuer's path; OpenID Connect Discovery §4.1: after it.
    """
    found = _ISSUER.fullmatch(issuer)
    if found is None:
        raise ValueError("not an issuer such as https://auth.example.org/tenant, without query and fragment")
    origin, path = found[1], found[3].removesuffix("/")
    urls = (
        f"{origin}/.well-known/oauth-authorization-server{path}",
        f"{origin}/.well-known/openid-configuration{path}",
        f"{origin}{path}/.well-known/openid-configuration",
    )
    return tuple(dict.fromkeys(urls))


def parse(body: bytes, issuer: str, *, mutual_tls: bool = False) -> Metadata:
    """Read the metadata of an issuer; raises IntrospectionError (malformed).

    With `mutual_tls`, endpoints for clients that authenticate by certificate take the place of others (RFC 8705 §5).
    """
    try:
        members = read_object(body)
    except ValueError as error:
        raise _malformed(str(error)) from None
    if members.get("issuer") != issuer:
        raise _malformed("it is another issuer's, or names the issuer in another way")
    aliases = members.get("mtls_endpoint_aliases") if mutual_tls else None
    if not isinstance(aliases, dict | None):
        raise _malformed("mtls_endpoint_aliases is no object")
    told = members | {name: url for name, url in (aliases or {}).items() if url is not None}
    insecure = issuer.startswith("http://")
    names: tuple[EndpointName, ...] = get_args(EndpointName)
    endpoints = {name: _endpoint(told[name], name, insecure) for name in names if told.get(name) is not None}
    return Metadata(issuer, MappingProxyType(endpoints))


def _endpoint(url: object, name: EndpointName, insecure: bool) -> str:
    found = _ENDPOINT.fullmatch(url) if isinstance(url, str) else None
    if found is None:
        raise _malformed(f"{name} is not a URL without user and fragment")
    if found[1] != "https" and not insecure:
        raise _malformed(f"{name} is not https, and the issuer is")
    return found[0]


def _malformed(detail: str) -> IntrospectionError:
    return IntrospectionError(IntrospectionFailure.MALFORMED, f"its metadata: {detail}")
