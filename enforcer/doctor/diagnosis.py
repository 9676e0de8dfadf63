"""Findings, and the checks of TLS, clocks and response times that make them. Pure: no I/O, no clock.

A finding repeats nothing of a response that could be a secret, only statuses, error codes and URLs without their query.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final

CLOCK_WARNING: Final = 5.0
"""Seconds. A larger difference of the clocks affects the checks of `nbf` and `iat`."""
CLOCK_ERROR: Final = 60.0
"""Seconds. A larger difference gets valid tokens refused, or accepts expired ones."""
CERTIFICATE_WARNING: Final = 14
"""Days until a certificate expires. Automatic renewal happens at 30 or 20 days, so by now it must have failed."""

_DAY: Final = 86400.0


class Verdict(StrEnum):
    """The result of a check."""

    RIGHT = "right"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: its subject (`what`), its result, details (`found`) and advice. The names are keys of `--json`."""

    what: str
    verdict: Verdict
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class ServerResponse:
    """A response: names in `fields` are lower-case.

    The times are in seconds since the epoch: when the request was made, connecting included, and when it was answered.
    """

    url: str
    status: int
    fields: Mapping[str, str]
    body: bytes
    sent: float
    received: float


def right(subject: str, details: str) -> Finding:
    """Return the finding of a check that passed."""
    return Finding(subject, Verdict.RIGHT, details)


def warning(subject: str, details: str, advice: str) -> Finding:
    """Return the finding of a check that passed, but that an operator should look at."""
    return Finding(subject, Verdict.WARNING, details, advice)


def wrong(subject: str, details: str, advice: str) -> Finding:
    """Return the finding of a check that failed: the enforcer cannot work with this server."""
    return Finding(subject, Verdict.WRONG, details, advice)


def is_right(findings: Iterable[Finding]) -> bool:
    """Return whether no check failed. Warnings are not failures."""
    return all(finding.verdict is not Verdict.WRONG for finding in findings)


# TLS


def certificate(version: str, issued_to: str, not_after: float, now: float) -> Finding:
    """Check when a verified certificate expires; times are seconds since the epoch."""
    days = int((not_after - now) // _DAY)
    expiry = f"expires in {days} {'day' if days == 1 else 'days'}"
    details = f"{version}, the certificate is valid for {issued_to} and {expiry}"
    return right("TLS", details) if days >= CERTIFICATE_WARNING else warning("TLS", details, "renew it")


_NO_SIGNING: Final = "the authority's certificate does not permit signing"
_NO_IDENTIFIER: Final = "a certificate lacks a key identifier"
# Keyed by OpenSSL's numbers (X509_V_ERR_*), because its texts change between versions.
_CERTIFICATE: Final = {
    9: ("the certificate is not valid yet", "set this machine's clock, or the server's certificate"),
    10: ("the certificate has expired", "renew it at the server"),
    62: ("the certificate is for another name", "use a name of the certificate in the URL, or set tls.server_name"),
    64: ("the certificate is for another address", "use a name of the certificate in the URL, or set tls.server_name"),
    # Required since Python 3.13 (RFC 5280 §4.2.1)
    **dict.fromkeys((81, 92), (_NO_SIGNING, "issue it again, with keyUsage keyCertSign")),
    **dict.fromkeys((85, 86), (_NO_IDENTIFIER, "issue it again, with subjectKeyIdentifier and authorityKeyIdentifier")),
}
_CHAIN: Final = {
    2: "its issuer is not known here",
    18: "it is self-signed",
    19: "the authority at the end of its chain is not trusted here",
    20: "its issuer is not known here",
    21: "its issuer is not known here",
}


def bad_certificate(code: int) -> Finding:
    """Return why a server's certificate was not accepted, by OpenSSL's error number."""
    if code in _CERTIFICATE:
        return wrong("TLS", *_CERTIFICATE[code])
    return wrong(
        "TLS",
        f"the certificate is not trusted: {_CHAIN.get(code, f'OpenSSL reports error {code}')}",
        "set tls.ca to a file with the authority's certificate; the server must send the intermediate certificates",
    )


def failed_handshake(reason: str | None) -> Finding:
    """Return why a handshake failed, by OpenSSL's name for the reason."""
    name = (reason or "no reason given").upper()
    if "WRONG_VERSION_NUMBER" in name or "RECORD_LAYER_FAILURE" in name:
        return wrong("TLS", "the server does not speak TLS on this port", "use http://, or the port for TLS")
    if "ALERT" in name and ("CERTIFICATE" in name or "HANDSHAKE_FAILURE" in name or "UNKNOWN_CA" in name):
        return wrong(
            "TLS",
            "the server refuses our connection",
            "if it asks for a client certificate, set tls.certificate and tls.key to one that it trusts",
        )
    return wrong("TLS", f"the handshake failed: {name.replace('_', ' ').lower()}", "see the server's log")


# Times


def clock(date: str | None, sent: float, received: float) -> Finding:
    """Compare a response's Date field (RFC 9110 §6.6.1) with our times, in seconds since the epoch."""
    try:
        theirs = parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return warning("clock", "the response has no Date field", "compare the two clocks by hand")
    # Date is in whole seconds and was written at some time between `sent` and `received`.
    ahead = theirs - received if theirs > received else min(theirs + 1 - sent, 0.0)
    if abs(ahead) <= CLOCK_WARNING:
        return right("clock", "the same as ours")
    details = f"the server's is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} ours"
    finding = wrong if abs(ahead) > CLOCK_ERROR else warning
    return finding("clock", details, "synchronise both machines (NTP)")


def answer_time(seconds: float, limit: float) -> Finding:
    """Compare the time until a response with its timeout, in seconds."""
    details = f"{seconds * 1000:.0f} ms, of {limit:g} s allowed"
    if seconds <= limit / 2:
        return right("answer time", details)
    return warning("answer time", details, "find out why the server is slow, or raise timeout")


# Responses


def app(status: int) -> Finding:
    """Check the upstream's response to GET /. Any status below 500 passes, because the app may not serve /."""
    if status >= 500:
        return warning("HTTP", f"answers GET / with {status}", "see the app's log")
    return right("HTTP", f"answers GET / with {status}")


def large_page() -> Finding:
    """Return the finding for a response to GET / of which only a part was read."""
    return right("HTTP", "answers GET / with a large page")


def only_http2(secure: bool) -> Finding:
    """Return the finding for an upstream that speaks HTTP/2 and is asked in HTTP/1.1."""
    advice = "set protocol: auto, or h2" if secure else "set protocol: h2c"
    return wrong("HTTP", "the app speaks HTTP/2, and does not answer in HTTP/1.1", advice)


def no_http2(details: str) -> Finding:
    """Return the finding for an upstream that is asked in HTTP/2 and does not speak it."""
    return wrong("HTTP", f"the app does not speak HTTP/2: {details}", "set protocol: http1")


def resets() -> Finding:
    """Return the finding for an app that speaks HTTP/2 and does not take GET."""
    return right("HTTP", "speaks HTTP/2, and resets GET /, as gRPC servers do")


def own_address(setting: str) -> Finding:
    """Return the finding for an upstream that is the enforcer itself, by the setting that has its address."""
    details = f"this is the enforcer's own {setting}: a request would come back until its head is too large"
    return wrong("address", details, "set url to the app's address")
