"""What an authorization server says of itself (RFC 8414, OpenID Connect Discovery): where its endpoints are. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.objects import read_object

# RFC 3986 §3, printable ASCII; no user, which is where a URL hides another host, and no fragment, which is never sent
_AUTHORITY: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]"
_ISSUER = re.compile(rf"((https?)://(?:{_AUTHORITY})(?::[0-9]{{1,5}})?)((?:/[!$-.0->@-~]*)*)")
_ENDPOINT = re.compile(rf"(https?)://(?:{_AUTHORITY})(?::[0-9]{{1,5}})?(?:[/?][!$-~]*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """The endpoints of an authorization server, as URLs; None where it has none."""

    issuer: str
    introspection_endpoint: str | None
    jwks_uri: str | None
    token_endpoint: str | None


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


def parse(body: bytes, issuer: str) -> Metadata:
    """Read the metadata of an issuer; raises IntrospectionError (malformed).

    RFC 8414 §3.3: it must name the very issuer that it was asked of. Endpoints are https, unless the issuer is not.
    """
    try:
        members = read_object(body)
    except ValueError as error:
        raise _malformed(str(error)) from None
    if members.get("issuer") != issuer:
        raise _malformed("it is another issuer's, or names the issuer in another way")
    insecure = issuer.startswith("http://")
    return Metadata(
        issuer=issuer,
        introspection_endpoint=_endpoint(members, "introspection_endpoint", insecure),
        jwks_uri=_endpoint(members, "jwks_uri", insecure),
        token_endpoint=_endpoint(members, "token_endpoint", insecure),
    )


def _endpoint(members: Mapping[str, Any], name: str, insecure: bool) -> str | None:
    url = members.get(name)
    if url is None:
        return None
    found = _ENDPOINT.fullmatch(url) if isinstance(url, str) else None
    if found is None:
        raise _malformed(f"{name} is not a URL without user and fragment")
    if found[1] != "https" and not insecure:
        raise _malformed(f"{name} is not https, and the issuer is")
    return found[0]


def _malformed(detail: str) -> IntrospectionError:
    return IntrospectionError(IntrospectionFailure.MALFORMED, f"its metadata: {detail}")
