"""Findings about an authorization server's responses, from the outcome that each has for requests. Pure.

A finding repeats nothing of a response that could be a secret, only statuses, error codes and URLs without their query.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urljoin

from enforcer.doctor.diagnosis import Finding, ServerResponse, right, warning, wrong
from enforcer.errors import IntrospectionError
from enforcer.settings.authorization_server import ClientAuthentication
from enforcer.tokens.claims import ActiveToken
from enforcer.tokens.introspection.client_credentials import OwnAccessToken
from enforcer.tokens.introspection.metadata import PLACEHOLDER, EndpointName, Metadata, is_template
from enforcer.tokens.introspection.response import InactiveToken, IntrospectionOutcome

if TYPE_CHECKING:
    from enforcer.tokens.jwt.jwks import KeySet

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
_ONLY_UNKNOWN: Final = (
    'if it does so only for unknown tokens, have it respond with {"active": false} (RFC 7662 §2.2), or clients with '
    "such tokens get 503 instead of 401"
)
_NOT_INACTIVE: Final = f"see the server's log; {_ONLY_UNKNOWN}"


# Metadata and keys


def no_metadata(details: str, *, needed: bool) -> Finding:
    """Return the finding for a server without metadata; `needed`: an endpoint is not set and must come from there."""
    if needed:
        return wrong("metadata", details, "correct issuer, or set the endpoints")
    return warning("metadata", details, "correct issuer; if the server publishes no metadata, there is nothing to do")


def wrong_metadata(error: IntrospectionError, response: ServerResponse, issuer: str) -> Finding:
    """Return the finding for a document that is not the metadata of the issuer."""
    published = _member(response.body, "issuer")
    if isinstance(published, str) and is_template(published):
        return wrong("metadata", "the server's issuer has a placeholder", f"correct issuer: {PLACEHOLDER}")
    if isinstance(published, str) and published != issuer and _URL.fullmatch(published):
        return wrong("metadata", f"the server's issuer is {published}", "set issuer to exactly that")
    return encoded("metadata", response) or wrong("metadata", f"{response.url}: {error.detail}", "correct issuer")


def metadata(
    document: Metadata, response: ServerResponse, endpoints: Mapping[EndpointName, str | None], client: Client | None
) -> list[Finding]:
    """Compare a server's metadata (RFC 8414 §2) with the settings.

    `endpoints` are those in use, with their configured URL; None if it must come from the metadata.
    """
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
    return findings or [right("metadata", "; ".join((matches, *discovered)))]


def _methods(response: ServerResponse, client: Client | None) -> list[Finding]:
    endpoint, method = client or (None, None)
    methods = _member(response.body, f"{endpoint}_auth_methods_supported")
    if method is None or not isinstance(methods, list) or method in methods:
        return []
    offered = ", ".join(name for name in methods if isinstance(name, str) and _CODE.fullmatch(name))
    advice = f"set client_authentication to one of: {offered}"
    return [warning("metadata", f"the server does not offer {method}", advice)]


def keys(outcome: KeySet | IntrospectionError, response: ServerResponse, algorithms: Collection[str]) -> list[Finding]:
    """Check a server's keys (RFC 7517 §5) against the algorithms of `jwt.algorithms`."""
    from enforcer.tokens.jwt import jwks, jwt

    if isinstance(outcome, IntrospectionError):
        if response.status != 200:
            return [_not_an_endpoint("keys", response, "jwks_uri")]
        details, advice = f"not a key set (RFC 7517): {outcome.detail}", "correct jwks_uri"
        if isinstance(_member(response.body, "keys"), list):
            details = f"a key set that cannot be used: {outcome.detail}"
            advice = "correct the keys at the authorization server, or jwks_uri if they are for another purpose"
        return [encoded("keys", response) or wrong("keys", details, advice)]
    published = outcome.keys
    supported = sorted({algorithm for key in published for algorithm in key.algorithms})
    details = f"{len(published)} {'key' if len(published) == 1 else 'keys'}, for {', '.join(supported)}"
    if outcome.unusable:
        advice = "correct or withdraw it at the authorization server: tokens that name it are answered 503"
        return [wrong("keys", f"{details}; {jwks.describe(outcome.unusable[0])}", advice)]
    if not {*supported} & {*algorithms}:
        return [wrong("keys", details, "set jwt.algorithms to the algorithms that the server signs with")]
    findings = [right("keys", details)]
    for kid, count in outcome.ambiguous(algorithms).items():
        name = "without kid" if kid is None else f"with kid {kid[:64]!r}"
        text = f"{count} different keys {name}"
        if count > jwt.MAX_CANDIDATES:
            advice = (
                f"give each a kid of its own: at most {jwt.MAX_CANDIDATES} are tried, and such tokens are answered 503"
            )
            findings.append(wrong("keys", text, advice))
        else:
            findings.append(warning("keys", text, "give each a kid of its own: every one is tried for each new token"))
    return findings


# Our credentials


def is_refusal(outcome: object, response: ServerResponse | Finding) -> bool:
    """Return whether an endpoint may have refused our credentials (RFC 7662 §2.3, RFC 6749 §5.2)."""
    if not isinstance(outcome, IntrospectionError) or isinstance(response, Finding):
        return False
    return response.status in (400, 401, 403)


def own_token(
    outcome: OwnAccessToken | IntrospectionError,
    response: ServerResponse,
    method: ClientAuthentication,
    accepted: ClientAuthentication | None,
) -> Finding:
    """Check the outcome of our request for an access token (RFC 6749 §5.1, §5.2); see `credentials` for `accepted`."""
    if isinstance(outcome, OwnAccessToken):
        return right("own token", f"issued, for {outcome.expires_in:g} s")
    if is_refusal(outcome, response):
        return _refused("own token", response, method, accepted)
    if response.status != 200:
        return _not_an_endpoint("own token", response, "own_token.token_endpoint")
    details = f"not a token response (RFC 6749): {outcome.detail}"
    return encoded("own token", response) or wrong("own token", details, "correct own_token.token_endpoint")


def credentials(
    outcome: IntrospectionOutcome,
    response: ServerResponse,
    method: Method,
    accepted: ClientAuthentication | None,
    *,
    signed: bool = False,
) -> Finding:
    """Check the outcome of the introspection of a made-up token with our credentials (RFC 7662 §2.2, §2.3).

    `accepted` is another way to authenticate than `method`, if the server accepted that one. `signed`: the response
    must be signed (RFC 9701).
    """
    if isinstance(outcome, ActiveToken):
        advice = "do not trust this endpoint; correct introspection_endpoint"
        return wrong("credentials", "a made-up token is reported as active", advice)
    if isinstance(outcome, InactiveToken):
        return right("credentials", _INACTIVE)
    if is_refusal(outcome, response):
        refused = _refused("credentials", response, method, accepted)
        about_client = accepted is not None or _member(response.body, "error") == "invalid_client"
        return refused if about_client else _perhaps_unknown(refused)
    if response.status >= 500:
        return wrong("credentials", f"the server responds to a made-up token with {response.status}", _NOT_INACTIVE)
    if response.status != 200:
        elsewhere = _not_an_endpoint("credentials", response, "introspection_endpoint")
        return _perhaps_unknown(elsewhere) if response.status in (204, 404) else elsewhere
    unusable = encoded("credentials", response)
    if unusable is not None:
        return unusable
    if signed:
        return no_signed_response(outcome.detail)
    if _is_html(response):
        advice = "correct introspection_endpoint: it leads elsewhere"
        return wrong("credentials", "the response is a web page", advice)
    details = f"not an introspection response (RFC 7662): {outcome.detail}"
    return _perhaps_unknown(wrong("credentials", details, "correct introspection_endpoint"))


def _perhaps_unknown(finding: Finding) -> Finding:
    """Return the finding with the advice for a server that responds so because it does not know the made-up token."""
    return wrong(finding.what, finding.found, f"{finding.advice}; {_ONLY_UNKNOWN}")


def closed_connection(details: str) -> Finding:
    """Return the finding for a connection that the server closes when it is asked about a made-up token."""
    return wrong("HTTP", details, _NOT_INACTIVE)


def too_large(subject: str, setting: str) -> Finding:
    """Return the finding for a response that is larger than `max_answer`; `setting` names the endpoint."""
    return wrong(subject, "the response is larger than max_answer", f"correct {setting}, or raise max_answer")


def no_signed_response(details: str, subject: str = "credentials") -> Finding:
    """Return the finding for an introspection response that is not signed as required (RFC 9701)."""
    advice = "configure the server to sign introspection responses for this client, or remove signed_answers"
    return wrong(subject, f"{details} (RFC 9701)", advice)


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
    if status == 429:
        advice = "raise the server's limit for this client, or wait, and try again"
        return wrong(subject, f"the server responds with 429: it has had too many requests{_wait(response)}", advice)
    if status >= 500:
        return wrong(subject, f"the server responds with {status}", "see the server's log")
    return wrong(subject, f"the server responds with {status}", f"correct {setting}")


def _wait(response: ServerResponse) -> str:
    retry_after = response.fields.get("retry-after", "")
    return f", and asks to wait {retry_after} s" if retry_after.isascii() and retry_after.isdecimal() else ""


def encoded(subject: str, response: ServerResponse) -> Finding | None:
    """Return the finding for a response with a content coding, which no request asks for; None if it has none."""
    coding = response.fields.get("content-encoding", "identity").strip().lower()
    if coding == "identity" or not _CODE.fullmatch(coding):
        return None
    advice = "turn compression off at the server, or at the proxy before it, for requests that accept only identity"
    return wrong(subject, f"the response is encoded ({coding})", advice)


def _is_html(response: ServerResponse) -> bool:
    return "html" in response.fields.get("content-type", "") or response.body.lstrip()[:1] == b"<"


def _member(body: bytes, name: str) -> object:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document.get(name) if isinstance(document, dict) else None
