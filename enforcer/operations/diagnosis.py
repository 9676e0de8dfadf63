"""What a server's answers tell of the configuration. Pure: what was seen comes in, findings come out.

Nothing of an answer is repeated but what cannot be a secret: a status, an error code, a place without its query.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urljoin

from enforcer.errors import IntrospectionError
from enforcer.tokens.answer import Active, parse
from enforcer.tokens.client_authentication import ClientAuthentication
from enforcer.tokens.metadata import parse as parse_metadata

CLOCK_NOTICED: Final = 5.0
"""Seconds that two clocks may differ; a token's `nbf` and `iat` begin to matter beyond."""
CLOCK_WRONG: Final = 60.0
"""Seconds from which on tokens are refused, or live on, by the clocks alone."""
CERTIFICATE_LOW: Final = 14
"""Days before a certificate's end at which its renewal must have failed: automatic ones come at 30 and 20."""

_DAY: Final = 86400.0
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_PLACE = re.compile(r"https?://[A-Za-z0-9.:\[\]-]{1,256}(?:/[!$-;=A-~]{0,256})?")


class Verdict(StrEnum):
    """What a finding means."""

    RIGHT = "right"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what it is, what was found, and what to do about it."""

    what: str
    verdict: Verdict
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """An answer: lower-case field names, and when it was asked for and was whole, in seconds since the epoch.

    `cut`: there was more of the body than is read.
    """

    url: str
    status: int
    fields: Mapping[str, str]
    body: bytes
    cut: bool
    sent: float
    received: float


def right(what: str, found: str) -> Finding:
    """Say that something is as it must be."""
    return Finding(what, Verdict.RIGHT, found)


def warning(what: str, found: str, advice: str) -> Finding:
    """Say that something works and should be looked at."""
    return Finding(what, Verdict.WARNING, found, advice)


def wrong(what: str, found: str, advice: str) -> Finding:
    """Say that something keeps the enforcer from working."""
    return Finding(what, Verdict.WRONG, found, advice)


def is_right(findings: Iterable[Finding]) -> bool:
    """Tell whether nothing is wrong; a warning is not."""
    return all(finding.verdict is not Verdict.WRONG for finding in findings)


# TLS


def certificate(version: str, issued_to: str, not_after: float, now: float) -> Finding:
    """Judge a verified certificate by the time that is left to it; times are seconds since the epoch."""
    days = int((not_after - now) // _DAY)
    found = f"{version}, the certificate is good for {issued_to} and ends in {days} {'day' if days == 1 else 'days'}"
    return right("TLS", found) if days >= CERTIFICATE_LOW else warning("TLS", found, "renew it")


# OpenSSL's numbers (X509_V_ERR_*): only they tell the cases apart, its texts change.
_CERTIFICATE: Final = {
    9: ("the certificate is not valid yet", "set this machine's clock, or the server's certificate"),
    10: ("the certificate has expired", "renew it at the server"),
    62: ("the certificate is for another name", "use a name of the certificate in the URL, or set tls.server_name"),
    64: ("the certificate is for another address", "use a name of the certificate in the URL, or set tls.server_name"),
}
_CHAIN: Final = {
    2: "the authority that it comes from is not known here",
    18: "it is signed by itself",
    19: "the authority at the end of its chain is not trusted here",
    20: "the authority that it comes from is not known here",
    21: "the authority that it comes from is not known here",
}


def bad_certificate(code: int) -> Finding:
    """Say why a server's certificate was not accepted, by OpenSSL's number for it, and what would help."""
    if code in _CERTIFICATE:
        return wrong("TLS", *_CERTIFICATE[code])
    return wrong(
        "TLS",
        f"the certificate is not trusted: {_CHAIN.get(code, f'OpenSSL gives the number {code}')}",
        "set tls.ca to a file with that authority's certificate; the server must send those between",
    )


def failed_handshake(reason: str | None) -> Finding:
    """Say why a handshake failed, by OpenSSL's name for it, and what would help."""
    name = (reason or "no reason given").upper()
    if "WRONG_VERSION_NUMBER" in name or "RECORD_LAYER_FAILURE" in name:
        return wrong("TLS", "the server does not speak TLS on this port", "use http://, or the port for TLS")
    if "ALERT" in name and ("CERTIFICATE" in name or "HANDSHAKE_FAILURE" in name or "UNKNOWN_CA" in name):
        return wrong(
            "TLS",
            "the server refuses us",
            "if it asks for a client certificate, set tls.certificate and tls.key to one that it trusts",
        )
    return wrong("TLS", f"the handshake failed: {name.replace('_', ' ').lower()}", "see the server's log")


# Times


def clock(date: str | None, sent: float, received: float) -> Finding:
    """Compare the Date field of an answer (RFC 9110 §6.6.1) with the seconds since the epoch around it."""
    try:
        theirs = parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return warning("clock", "the answer has no Date", "compare the two clocks by hand")
    # Date says whole seconds, and was written at some moment between the two.
    ahead = theirs - received if theirs > received else min(theirs + 1 - sent, 0.0)
    if abs(ahead) <= CLOCK_NOTICED:
        return right("clock", "the same as ours")
    found = f"the server's is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} ours"
    judge = wrong if abs(ahead) > CLOCK_WRONG else warning
    return judge("clock", found, "synchronise both machines (NTP)")


def answer_time(seconds: float, limit: float) -> Finding:
    """Compare how long an answer took with how long it may."""
    found = f"{seconds * 1000:.0f} ms, of {limit:g} s allowed"
    if seconds <= limit / 2:
        return right("answer time", found)
    return warning("answer time", found, "find out why the server is slow, or allow it more with timeout")


# Answers


def app(answer: Seen) -> Finding:
    """Judge the upstream's answer: any is one, and what it answers to a request of ours is its own affair."""
    if answer.status >= 500:
        return warning("HTTP", f"answers GET / with {answer.status}", "see the app's log")
    return right("HTTP", f"answers GET / with {answer.status}")


def is_refusal(answer: Seen) -> bool:
    """Tell whether an introspection endpoint may have refused our credentials (RFC 7662 §2.3)."""
    return answer.status in (400, 401, 403)


def is_acceptance(answer: Seen) -> bool:
    """Tell whether a token that nobody issued was called inactive."""
    return answer.status == 200 and _introspected(answer).verdict is Verdict.RIGHT


def credentials(answer: Seen, method: ClientAuthentication, accepted: ClientAuthentication | None) -> Finding:
    """Judge the answer to a token that nobody issued, asked about with our credentials (RFC 7662 §2.2, §2.3).

    `accepted` is the way to authenticate, other than `method`, that the server was seen to accept.
    """
    status = answer.status
    if status == 200:
        return _introspected(answer)
    if 300 <= status < 400:
        return _redirected(answer)
    if is_refusal(answer):
        return _refused(answer, method, accepted)
    if status == 429 or status >= 500:
        return wrong("credentials", f"the server answers {status}", "see the server's log")
    return wrong("credentials", f"the server answers {status}", "correct introspection_endpoint")


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


def _redirected(answer: Seen) -> Finding:
    place = urljoin(answer.url, answer.fields.get("location", "")).partition("?")[0].partition("#")[0]
    shown = place if _PLACE.fullmatch(place) else "another place"
    return wrong(
        "credentials",
        f"{answer.status}: redirected to {shown}, and the enforcer follows no redirect with a token",
        "set introspection_endpoint to the URL that answers itself",
    )


def _refused(answer: Seen, method: ClientAuthentication, accepted: ClientAuthentication | None) -> Finding:
    code = _member(answer.body, "error")
    said = f"{answer.status}, {code}" if isinstance(code, str) and _CODE.fullmatch(code) else f"{answer.status}"
    found = f"refused ({said}) with {method}"
    if accepted is not None:
        return wrong("credentials", found, f"set client_authentication: {accepted}, which the server accepts")
    return wrong(
        "credentials",
        found,
        "correct client_id and client_secret, and let this client introspect, at the authorization server",
    )


# Metadata


def no_metadata(found: str) -> Finding:
    """Say that a server's own account of itself cannot be compared with the configuration."""
    return warning("metadata", found, "correct issuer; if the server publishes none, there is nothing to do")


def metadata(answer: Seen, issuer: str, endpoint: str, method: ClientAuthentication) -> list[Finding]:
    """Compare what a server says of itself (RFC 8414 §2) with the configuration."""
    try:
        told = parse_metadata(answer.body, issuer)
    except IntrospectionError as error:
        theirs = _member(answer.body, "issuer")
        if isinstance(theirs, str) and theirs != issuer and _PLACE.fullmatch(theirs):
            return [wrong("metadata", f"the server calls itself {theirs}", "set issuer to that, to the letter")]
        return [wrong("metadata", f"{answer.url}: {error.detail}", "correct issuer")]
    findings = []
    if told.introspection_endpoint != endpoint:
        findings.append(
            warning(
                "metadata",
                f"the server's introspection_endpoint is {told.introspection_endpoint or 'not there'}",
                "set introspection_endpoint to that, unless the server is reached by another name from here",
            )
        )
    methods = _member(answer.body, "introspection_endpoint_auth_methods_supported")
    if isinstance(methods, list) and method not in methods:
        offered = ", ".join(name for name in methods if isinstance(name, str) and _CODE.fullmatch(name))
        findings.append(
            warning(
                "metadata", f"the server does not offer {method}", f"set client_authentication to one of: {offered}"
            )
        )
    return findings or [right("metadata", "issuer and introspection_endpoint are as the server says")]


def _is_html(answer: Seen) -> bool:
    return "html" in answer.fields.get("content-type", "") or answer.body.lstrip()[:1] == b"<"


def _member(body: bytes, name: str) -> Any:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document.get(name) if isinstance(document, dict) else None
