"""What the answers of an authorization server tell of its settings. Pure: what was seen comes in, findings come out.

Nothing of an answer is repeated but what cannot be a secret: a status, an error code, a place without its query.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Final, Literal
from urllib.parse import urljoin

from enforcer.doctor.diagnosis import Finding, Seen, Verdict, right, warning, wrong
from enforcer.errors import IntrospectionError
from enforcer.settings.authorization_server import ClientAuthentication
from enforcer.tokens.introspection import client_credentials
from enforcer.tokens.introspection.metadata import EndpointName
from enforcer.tokens.introspection.metadata import parse as parse_metadata
from enforcer.tokens.introspection.response import Active, parse

Method = ClientAuthentication | Literal["own_token"]
"""How we authenticate where we ask about tokens."""
Client = tuple[EndpointName, ClientAuthentication]
"""Where, and how, our client authenticates."""

_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_PLACE = re.compile(r"https?://[A-Za-z0-9.:\[\]-]{1,256}(?:/[!$-;=A-~]{0,256})?")
_CORRECT: Final[Mapping[Method, str]] = {
    "client_secret_basic": "correct client_id and client_secret",
    "client_secret_post": "correct client_id and client_secret",
    "private_key_jwt": "correct client_id, register the public part of client_key for it",
    "tls_client_auth": "correct client_id, register the certificate in tls for it",
    "own_token": "correct own_token.scopes",
}
"""What a refusal asks us to do."""


# What is known of a server


def no_metadata(found: str, *, needed: bool) -> Finding:
    """Say that there is no account of a server by itself; `needed`: it must tell an endpoint."""
    if needed:
        return wrong("metadata", found, "correct issuer, or set the endpoints")
    return warning("metadata", found, "correct issuer; if the server publishes none, there is nothing to do")


def metadata(
    answer: Seen,
    issuer: str,
    endpoints: Mapping[EndpointName, str | None],
    client: Client | None,
) -> list[Finding]:
    """Compare what a server says of itself (RFC 8414 §2) with the settings.

    `endpoints` are those that are used, None where the server must tell; `client` is where and how we authenticate.
    """
    try:
        told = parse_metadata(answer.body, issuer, mutual_tls=client is not None and client[1] == "tls_client_auth")
    except IntrospectionError as error:
        theirs = _member(answer.body, "issuer")
        if isinstance(theirs, str) and theirs != issuer and _PLACE.fullmatch(theirs):
            return [wrong("metadata", f"the server calls itself {theirs}", "set issuer to that, to the letter")]
        return [wrong("metadata", f"{answer.url}: {error.detail}", "correct issuer")]
    findings = []
    same, found = ["issuer"], []
    for name, ours in endpoints.items():
        theirs = told.endpoints.get(name)
        if theirs is None and ours is None:
            findings.append(wrong("metadata", f"the server names no {name}", f"set {name}"))
        elif ours is None:
            found.append(f"{name} is {theirs}")
        elif ours == theirs:
            same.append(name)
        else:
            findings.append(
                warning(
                    "metadata",
                    f"the server's {name} is {theirs or 'not there'}",
                    f"set {name} to that, unless the server is reached by another name from here",
                )
            )
    findings += _methods(answer, client)
    equal = f"{' and '.join(filter(None, (', '.join(same[:-1]), same[-1])))} {'are' if same[1:] else 'is'}"
    return findings or [right("metadata", "; ".join((f"{equal} as the server says", *found)))]


def _methods(answer: Seen, client: Client | None) -> list[Finding]:
    where, method = client or (None, None)
    methods = _member(answer.body, f"{where}_auth_methods_supported")
    if method is None or not isinstance(methods, list) or method in methods:
        return []
    offered = ", ".join(name for name in methods if isinstance(name, str) and _CODE.fullmatch(name))
    advice = f"set client_authentication to one of: {offered}"
    return [warning("metadata", f"the server does not offer {method}", advice)]


def keys(answer: Seen, algorithms: Collection[str]) -> Finding:
    """Judge a server's keys (RFC 7517 §5) by the algorithms that tokens may be signed with."""
    from enforcer.tokens.jwt import jwks

    if answer.status != 200:
        return _elsewhere("keys", answer, "jwks_uri")
    if answer.cut:
        return wrong("keys", "the answer is larger than max_answer", "correct jwks_uri, or allow more")
    try:
        found = jwks.parse(answer.body).keys
    except IntrospectionError as error:
        return wrong("keys", f"no keys (RFC 7517): {error.detail}", "correct jwks_uri")
    theirs = sorted({algorithm for key in found for algorithm in key.algorithms})
    counted = f"{len(found)} {'key' if len(found) == 1 else 'keys'}, for {', '.join(theirs)}"
    if not {*theirs} & {*algorithms}:
        return wrong("keys", counted, "set jwt.algorithms to what the server signs with")
    return right("keys", counted)


# Our own credentials


def is_refusal(answer: Seen) -> bool:
    """Tell whether an endpoint may have refused our credentials (RFC 7662 §2.3, RFC 6749 §5.2)."""
    return answer.status in (400, 401, 403) and not is_acceptance(answer)


def is_acceptance(answer: Seen) -> bool:
    """Tell whether a token that nobody issued was called inactive, be it in the way of RFC 7009 §2.2.1."""
    if answer.status == 400:
        return _member(answer.body, "error") == "unsupported_token_type"
    return answer.status == 200 and _introspected(answer).verdict is Verdict.RIGHT


def own_token(
    answer: Seen, method: ClientAuthentication, accepted: ClientAuthentication | None, lifetime: float
) -> Finding:
    """Judge the answer to our request for an access token of our own (RFC 6749 §5.1, §5.2)."""
    if is_refusal(answer):
        return _refused("own token", answer, method, accepted)
    if answer.status != 200:
        return _elsewhere("own token", answer, "own_token.token_endpoint")
    try:
        token = client_credentials.parse(answer.body, lifetime)
    except IntrospectionError as error:
        return wrong("own token", f"no token answer (RFC 6749): {error.detail}", "correct own_token.token_endpoint")
    return right("own token", f"given, for {token.expires_in:g} s")


def credentials(answer: Seen, method: Method, accepted: ClientAuthentication | None) -> Finding:
    """Judge the answer to a token that nobody issued, asked about with our credentials (RFC 7662 §2.2, §2.3).

    `accepted` is the way to authenticate, other than `method`, that the server was seen to accept.
    """
    if is_acceptance(answer):
        return right("credentials", "accepted; a token that nobody issued is called inactive")
    if is_refusal(answer):
        return _refused("credentials", answer, method, accepted)
    return (
        _introspected(answer) if answer.status == 200 else _elsewhere("credentials", answer, "introspection_endpoint")
    )


def no_signed_answer(found: str) -> Finding:
    """Say that the server has not signed what it says of a token, or not as it must (RFC 9701)."""
    advice = "have the server sign its introspection answers for this client, or leave signed_answers out"
    return wrong("credentials", f"{found} (RFC 9701)", advice)


def _introspected(answer: Seen) -> Finding:
    if answer.cut and not _is_html(answer):
        return wrong(
            "credentials", "the answer is larger than max_answer", "correct introspection_endpoint, or allow more"
        )
    try:
        told = parse(answer.body)
    except IntrospectionError as error:
        if _is_html(answer):
            return wrong(
                "credentials", "the answer is a web page", "correct introspection_endpoint: it leads elsewhere"
            )
        return wrong(
            "credentials", f"no introspection answer (RFC 7662): {error.detail}", "correct introspection_endpoint"
        )
    if isinstance(told, Active):
        return wrong(
            "credentials",
            "a token that nobody issued is called active",
            "trust no answer of this endpoint; correct introspection_endpoint",
        )
    return right("credentials", "accepted; a token that nobody issued is called inactive")


def _refused(what: str, answer: Seen, method: Method, accepted: ClientAuthentication | None) -> Finding:
    code = _member(answer.body, "error")
    said = f"{answer.status}, {code}" if isinstance(code, str) and _CODE.fullmatch(code) else f"{answer.status}"
    found = f"refused ({said}) with {method}"
    if accepted is not None:
        return wrong(what, found, f"set client_authentication: {accepted}, which the server accepts")
    if code == "invalid_scope":
        return wrong(what, found, "correct own_token.scopes, or grant them to this client, at the authorization server")
    may = "get a token by client credentials" if what == "own token" else "introspect"
    return wrong(what, found, f"{_CORRECT[method]}, and let this client {may}, at the authorization server")


def _elsewhere(what: str, answer: Seen, setting: str) -> Finding:
    """Say that an endpoint is none: it answers something else than it should."""
    status = answer.status
    if 300 <= status < 400:
        place = urljoin(answer.url, answer.fields.get("location", "")).partition("?")[0].partition("#")[0]
        shown = place if _PLACE.fullmatch(place) else "another place"
        found = f"{status}: redirected to {shown}, and the enforcer follows no redirect"
        return wrong(what, found, f"set {setting} to the URL that answers itself")
    if status == 429 or status >= 500:
        return wrong(what, f"the server answers {status}", "see the server's log")
    return wrong(what, f"the server answers {status}", f"correct {setting}")


def _is_html(answer: Seen) -> bool:
    return "html" in answer.fields.get("content-type", "") or answer.body.lstrip()[:1] == b"<"


def _member(body: bytes, name: str) -> object:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document.get(name) if isinstance(document, dict) else None
