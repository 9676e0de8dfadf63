"""What a server's answers tell of the configuration. Pure: what was seen comes in, findings come out.

Nothing of an answer is repeated but what cannot be a secret: a status, an error code, a place without its query.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final

CLOCK_NOTICED: Final = 5.0
"""Seconds that two clocks may differ; a token's `nbf` and `iat` begin to matter beyond."""
CLOCK_WRONG: Final = 60.0
"""Seconds from which on tokens are refused, or live on, by the clocks alone."""
CERTIFICATE_LOW: Final = 14
"""Days before a certificate's end at which its renewal must have failed: automatic ones come at 30 and 20."""

_DAY: Final = 86400.0


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
    # What Python asks for from 3.13 on (RFC 5280 §4.2.1)
    **dict.fromkeys(
        (81, 92),
        ("its authority's certificate does not say that it may sign", "make that anew, with keyUsage keyCertSign"),
    ),
    **dict.fromkeys(
        (85, 86),
        ("a certificate lacks a key identifier", "make it anew, with subjectKeyIdentifier and authorityKeyIdentifier"),
    ),
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
