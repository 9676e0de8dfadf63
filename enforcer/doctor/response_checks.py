"""Checks of an authorization server's responses against its settings. Pure: responses in, findings out.

A finding repeats nothing of a response that could be a secret, only statuses, error codes and URLs without their query.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Final, Literal
from urllib.parse import urljoin

from enforcer.doctor.diagnosis import Finding, ServerResponse, Verdict, right, warning, wrong
from enforcer.errors import IntrospectionError
from enforcer.settings.authorization_server import ClientAuthentication
from enforcer.tokens.claims import ActiveToken
from enforcer.tokens.introspection import client_credentials
from enforcer.tokens.introspection.metadata import PLACEHOLDER, EndpointName, Metadata, is_template
from enforcer.tokens.introspection.metadata import parse as parse_metadata
from enforcer.tokens.introspection.response import parse

Method = ClientAuthentication | Literal["own_token"]
"""The way of authenticating at the introspection endpoint."""
Client = tuple[EndpointName, ClientAuthentication]
"""The endpoint at which the enforcer's client authenticates, and the way."""

_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]-]{1,256}(?:/[!$-;=A-~]{0,256})?")
_ADVICE: Final[Mapping[Method, str]] = {
    "client_secret_basic": "correct client_id and client_secret",
    "client_secret_post": "correct client_id and client_secret",
    "private_key_jwt": "correct client_id, register the public part of client_key for it",
    "tls_client_auth": "correct client_id, register the certificate in tls for it",
    "own_token": "correct own_token.scopes",
}
"""Advice if the server refuses our credentials."""
_INACTIVE: Final = "accepted; a made-up token is reported as inactive"
_TOO_LARGE: Final = "the response is larger than max_answer"


# Metadata and keys


def no_metadata(details: str, *, needed: bool) -> Finding:
    """Return the finding for a server without metadata; `needed`: an endpoint is not set and must come from there."""
    if needed:
        return wrong("metadata", details, "correct issuer, or set the endpoints")
    return warning("metadata", details, "correct issuer; if the server publishes no metadata, there is nothing to do")


def metadata(
    response: ServerResponse, issuer: str, endpoints: Mapping[EndpointName, str | None], client: Client | None
) -> tuple[Metadata | None, list[Finding]]:
    """Read a server's metadata (RFC 8414 §2), None if it is not valid, and compare it with the settings.

    `endpoints` are those in use, with their configured URL; None if it must come from the metadata.
    """
    mutual_tls = client is not None and client[1] == "tls_client_auth"
    try:
        document = parse_metadata(response.body, issuer, mutual_tls=mutual_tls)
    except IntrospectionError as error:
        published = _member(response.body, "issuer")
        if isinstance(published, str) and is_template(published):
            return None, [wrong("metadata", "the server's issuer has a placeholder", f"correct issuer: {PLACEHOLDER}")]
        if isinstance(published, str) and published != issuer and _URL.fullmatch(published):
            return None, [wrong("metadata", f"the server's issuer is {published}", "set issuer to exactly that")]
        return None, [wrong("metadata", f"{response.url}: {error.detail}", "correct issuer")]
    findings = []
    equal, discovered = ["issuer"], []
    for name, configured in endpoints.items():
        published = document.endpoints.get(name)
        if published is None and configured is None:
            findings.append(wrong("metadata", f"the server publishes no {name}", f"set {name}"))
        elif configured is None:
            discovered.append(f"{name} is {published}")
        elif configured == published:
            equal.append(name)
        else:
            findings.append(
                warning(
                    "metadata",
                    f"the server's {name} is {published or 'not published'}",
                    f"set {name} to that, unless the server has another address from here",
                )
            )
    findings += _methods(response, client)
    names = " and ".join(filter(None, (", ".join(equal[:-1]), equal[-1])))
    matches = f"{names} {'match' if equal[1:] else 'matches'} the server's metadata"
    return document, findings or [right("metadata", "; ".join((matches, *discovered)))]


def _methods(response: ServerResponse, client: Client | None) -> list[Finding]:
    endpoint, method = client or (None, None)
    methods = _member(response.body, f"{endpoint}_auth_methods_supported")
    if method is None or not isinstance(methods, list) or method in methods:
        return []
    offered = ", ".join(name for name in methods if isinstance(name, str) and _CODE.fullmatch(name))
    advice = f"set client_authentication to one of: {offered}"
    return [warning("metadata", f"the server does not offer {method}", advice)]


def keys(response: ServerResponse, algorithms: Collection[str]) -> Finding:
    """Check a server's keys (RFC 7517 §5) against the algorithms of `jwt.algorithms`."""
    from enforcer.tokens.jwt import jwks

    if response.status != 200:
        return _not_an_endpoint("keys", response, "jwks_uri")
    if response.truncated:
        return wrong("keys", _TOO_LARGE, "correct jwks_uri, or raise max_answer")
    try:
        key_set = jwks.parse(response.body)
    except IntrospectionError as error:
        return wrong("keys", f"not a key set (RFC 7517): {error.detail}", "correct jwks_uri")
    published = key_set.keys
    supported = sorted({algorithm for key in published for algorithm in key.algorithms})
    details = f"{len(published)} {'key' if len(published) == 1 else 'keys'}, for {', '.join(supported)}"
    if key_set.unusable:
        advice = "correct or withdraw it at the authorization server: tokens that name it are answered 503"
        return wrong("keys", f"{details}; {jwks.describe(key_set.unusable[0])}", advice)
    if not {*supported} & {*algorithms}:
        return wrong("keys", details, "set jwt.algorithms to the algorithms that the server signs with")
    return right("keys", details)


# Our credentials


def is_refusal(response: ServerResponse) -> bool:
    """Return whether an endpoint may have refused our credentials (RFC 7662 §2.3, RFC 6749 §5.2)."""
    return response.status in (400, 401, 403) and not is_acceptance(response)


def is_acceptance(response: ServerResponse) -> bool:
    """Return whether a made-up token was reported as inactive, also in the form of RFC 7009 §2.2.1."""
    if response.status == 400:
        return _member(response.body, "error") == "unsupported_token_type"
    return response.status == 200 and _introspected(response).verdict is Verdict.RIGHT


def own_token(
    response: ServerResponse, method: ClientAuthentication, accepted: ClientAuthentication | None, lifetime: float
) -> Finding:
    """Check the response to our request for an access token (RFC 6749 §5.1, §5.2); see `credentials` for `accepted`."""
    if is_refusal(response):
        return _refused("own token", response, method, accepted)
    if response.status != 200:
        return _not_an_endpoint("own token", response, "own_token.token_endpoint")
    try:
        token = client_credentials.parse(response.body, lifetime)
    except IntrospectionError as error:
        details = f"not a token response (RFC 6749): {error.detail}"
        return wrong("own token", details, "correct own_token.token_endpoint")
    return right("own token", f"issued, for {token.expires_in:g} s")


def credentials(response: ServerResponse, method: Method, accepted: ClientAuthentication | None) -> Finding:
    """Check the response to the introspection of a made-up token with our credentials (RFC 7662 §2.2, §2.3).

    `accepted` is another way to authenticate than `method`, if the server accepted that one.
    """
    if is_acceptance(response):
        return right("credentials", _INACTIVE)
    if is_refusal(response):
        return _refused("credentials", response, method, accepted)
    if response.status != 200:
        return _not_an_endpoint("credentials", response, "introspection_endpoint")
    return _introspected(response)


def no_signed_response(details: str) -> Finding:
    """Return the finding for an introspection response that is not signed as required (RFC 9701)."""
    advice = "configure the server to sign introspection responses for this client, or remove signed_answers"
    return wrong("credentials", f"{details} (RFC 9701)", advice)


def _introspected(response: ServerResponse) -> Finding:
    if response.truncated and not _is_html(response):
        return wrong("credentials", _TOO_LARGE, "correct introspection_endpoint, or raise max_answer")
    try:
        token = parse(response.body)
    except IntrospectionError as error:
        if _is_html(response):
            advice = "correct introspection_endpoint: it leads elsewhere"
            return wrong("credentials", "the response is a web page", advice)
        details = f"not an introspection response (RFC 7662): {error.detail}"
        return wrong("credentials", details, "correct introspection_endpoint")
    if isinstance(token, ActiveToken):
        advice = "do not trust this endpoint; correct introspection_endpoint"
        return wrong("credentials", "a made-up token is reported as active", advice)
    return right("credentials", _INACTIVE)


def _refused(subject: str, response: ServerResponse, method: Method, accepted: ClientAuthentication | None) -> Finding:
    code = _member(response.body, "error")
    shown = f", {code}" if isinstance(code, str) and _CODE.fullmatch(code) else ""
    details = f"refused ({response.status}{shown}) with {method}"
    if accepted is not None:
        return wrong(subject, details, f"set client_authentication: {accepted}, which the server accepts")
    if code == "invalid_scope":
        return wrong(
            subject, details, "correct own_token.scopes, or grant them to this client, at the authorization server"
        )
    permission = "get a token by client credentials" if subject == "own token" else "introspect"
    return wrong(subject, details, f"{_ADVICE[method]}, and let this client {permission}, at the authorization server")


def _not_an_endpoint(subject: str, response: ServerResponse, setting: str) -> Finding:
    """Return the finding for a status that the endpoint of `setting` does not send."""
    status = response.status
    if 300 <= status < 400:
        url = urljoin(response.url, response.fields.get("location", "")).partition("?")[0].partition("#")[0]
        shown = url if _URL.fullmatch(url) else "another place"
        details = f"{status}: redirected to {shown}, and the enforcer does not follow redirects"
        return wrong(subject, details, f"set {setting} to the URL that responds itself")
    if status == 429 or status >= 500:
        return wrong(subject, f"the server responds with {status}", "see the server's log")
    return wrong(subject, f"the server responds with {status}", f"correct {setting}")


def _is_html(response: ServerResponse) -> bool:
    return "html" in response.fields.get("content-type", "") or response.body.lstrip()[:1] == b"<"


def _member(body: bytes, name: str) -> object:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document.get(name) if isinstance(document, dict) else None
