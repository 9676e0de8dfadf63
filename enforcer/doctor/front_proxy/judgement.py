"""Findings about a front proxy, from what was seen of each probe. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from enforcer.doctor.diagnosis import Finding, right, warning, wrong
from enforcer.doctor.front_proxy.probes import Arrived, Asked, Observation, is_forged
from enforcer.wire.fields import FOLD, OWS, fold

_SHOWN: Final = 6
"""Paths that a finding names; there may be more."""
_ENCODED: Final = re.compile(rb"%[0-9A-Fa-f]{2}")

_PATHS: Final[Mapping[str, str]] = {
    "nginx": "write proxy_pass without a path, without even a slash behind the host, remove rewrite from the location, "
    "and set X-Original-URI to $request_uri",
    "ingress-nginx": "remove the annotations rewrite-target and app-root from this Ingress",
    "forwarded": "remove what changes the path (stripPrefix, replacePath; handle_path, uri, rewrite), or put it before "
    "the question",
    "haproxy": "put set-path, replace-path and normalize-uri before the question, and set X-Original-URI to %[pathq]",
    "request": "remove prefix_rewrite, regex_rewrite and path_prefix; set normalize_path: true, and "
    "path_with_escaped_slashes_action: REJECT_REQUEST",
    "envoy-grpc": "remove prefix_rewrite and regex_rewrite; set normalize_path: true, and "
    "path_with_escaped_slashes_action: REJECT_REQUEST",
}
_OPEN: Final[Mapping[str, str]] = {
    "nginx": "set auth_request in each location that forwards, and no `satisfy any` or error_page that answers 200",
    "ingress-nginx": "set auth-url on each Ingress of the host, and no custom-http-errors with 401 or 403",
    "forwarded": "let each route of the app ask, before anything that forwards",
    "haproxy": "add `http-request deny unless { var(txn.auth_response_successful) -m bool }` behind auth-intercept",
    "request": "set failure_mode_allow: false (failOpen: false in Istio and Envoy Gateway), "
    "and disable ext_authz on no route",
    "envoy-grpc": "set failure_mode_allow: false (failOpen: false in Istio, Envoy Gateway and Contour), "
    "and disable ext_authz on no route",
}
_NOT_ASKED: Final = "compare its configuration with the example in docs/decision-api.md"


def of_first(seen: Observation, listeners: Mapping[str, str], *, admitted: bool) -> Finding:
    """Check whether an ordinary request is asked about and forwarded; otherwise, no other probe says anything.

    `listeners` are the contracts of the decision API's listeners by address; `admitted`: no question was refused
    because of its caller.
    """
    contract = listeners[seen.asked[-1].address] if seen.asked else next(iter(listeners.values()))
    if not seen.status:
        return wrong("question", f"no response of the front proxy: {seen.detail}", "correct the URL")
    status = f"the front proxy responds with {seen.status}"
    if not admitted:
        return wrong(
            "question",
            "the front proxy may not ask: it does not meet the conditions on callers",
            "add its address to trusted_proxies, or let it send the secret, or its certificate",
        )
    if not seen.asked:
        if seen.arrived:
            return wrong("question", "a request is forwarded without a question", _OPEN[contract])
        return wrong("question", f"{status}, and does not ask on {', '.join(listeners)}", _NOT_ASKED)
    if fault := seen.asked[-1].fault:
        details = f"the question does not describe a request by the contract {contract}: {fault}"
        return wrong("question", details, _NOT_ASKED)
    if not seen.arrived:
        details = f"{status}; the allowed request is not forwarded to the address of --echo"
        return wrong("question", details, "let it forward to that address while the doctor runs")
    return right(
        "question", f"asked on {seen.asked[-1].address}, in the contract {contract}; allowed requests are forwarded"
    )


def of_paths(sightings: Iterable[Observation], contract: str) -> list[Finding]:
    """Compare what was decided on with what was forwarded, for each path."""
    opened: list[str] = []
    rewritten: list[str] = []
    earlier: list[str] = []
    right_ones = refused = 0
    for seen in sightings:
        sent = _path(seen.probe.target)
        if not seen.arrived:
            refused += 1
        elif not seen.asked or not seen.allowed:
            opened.append(sent)
        else:
            asked, arrived = seen.asked[-1], seen.arrived[-1]
            if asked.method != arrived.method or _equivalent(asked.target) != _equivalent(arrived.target):
                rewritten.append(_comparison(asked, arrived))
                continue
            right_ones += 1
            if asked.target != seen.probe.target:
                earlier.append(f"{sent} as {_path(asked.target)}")
    findings = [right("paths", f"{right_ones} forwarded as decided on, {refused} refused")]
    if earlier:
        findings.append(right("rewritten before the question", _some(earlier)))
    if rewritten:
        findings.append(wrong("rewritten after the question", _some(rewritten), _PATHS[contract]))
    if opened:
        findings.append(wrong("open", f"forwarded without a decision: {_some(opened)}", _OPEN[contract]))
    return findings


def of_forged(
    sightings: Iterable[Observation], expected: Asked, contract: str, identity: Iterable[str]
) -> list[Finding]:
    """Check that no field of a client changes the question, or reaches the app as an identity field.

    `expected` is the question about the same request without the field.
    """
    names = {fold(name) for name in identity}
    findings: list[Finding] = []
    for seen in sightings:
        name = seen.probe.subject
        if any(is_forged(asked.client) for asked in seen.asked):
            advice = "set X-Forwarded-For to the peer's address, or append it; list only real proxies as trusted"
            findings.append(wrong(name, "a client chooses the address that it is limited by", advice))
        elif any(asked[:3] != expected[:3] and not asked.fault for asked in seen.asked):
            advice = "set or remove this field of the client in the question"
            if contract == "forwarded":
                advice += " (Traefik: trustForwardHeader: false)"
            findings.append(wrong(name, "a client chooses what is decided on", advice))
        if any(_has_identity(arrived, names, seen) for arrived in seen.arrived):
            advice = "let the proxy set or remove each identity field, in each spelling, after the question"
            findings.append(wrong(name, "a client's own identity field reaches the app", advice))
    return findings or [right("forged fields", "none has an effect")]


def of_naming(sightings: Iterable[Observation]) -> Finding:
    """Check that a field which names another method or target is a part of the question, if the app gets it."""
    missing: list[str] = []
    for seen in sightings:
        names = {name.lower() for name, _ in seen.probe.fields}
        asked = [name for each in seen.asked for name, _ in each.fields if name.lower() in names]
        arrived = [name for each in seen.arrived for name, _ in each.fields if name.lower() in names]
        if arrived and not asked:
            missing.append(seen.probe.subject)
    if missing:
        advice = "pass these fields on in the question (Envoy: allowed_headers), or remove them from requests"
        return wrong("other targets", f"the app gets {_some(missing)}, on which nothing is decided", advice)
    return right("other targets", "each field that names a method or target is decided on, or removed")


def _has_identity(arrived: Arrived, names: set[bytes], seen: Observation) -> bool:
    sent = {value for _, value in seen.probe.fields}
    return any(name.translate(FOLD) in names and value.strip(OWS) in sent for name, value in arrived.fields)


def of_refusals(sightings: Iterable[Observation], contract: str) -> list[Finding]:
    """Check that nothing is forwarded if each question is refused with 401, and that the client learns why."""
    opened, count, statuses = [], 0, set()
    challenged = True
    for seen in sightings:
        count += 1
        if seen.arrived:
            opened.append(_path(seen.probe.target))
        elif seen.asked and seen.status:
            statuses.add(seen.status)
            challenged = challenged and (seen.status != 401 or b"www-authenticate" in seen.fields)
    if opened:
        return [wrong("without a token", f"forwarded although refused: {_some(opened)}", _OPEN[contract])]
    findings = [right("without a token", f"none of {count} requests is forwarded")]
    if 401 not in statuses:
        findings.append(warning("challenge", "no client gets the status 401", "pass the answer's status on"))
    elif not challenged:
        findings.append(warning("challenge", "a 401 lacks WWW-Authenticate", "pass this field of the answer on"))
    return findings


def of_outage(seen: Observation, contract: str) -> Finding:
    """Check a request whose token could not be verified: the answer was 503 with Retry-After."""
    if seen.arrived:
        return wrong("outage", "forwarded although the token could not be verified", _OPEN[contract])
    if seen.status in (401, 403):
        advice = "pass 503 on: a client that gets this status throws a good token away"
        return warning("outage", f"closed, but the client gets {seen.status}", advice)
    if b"retry-after" not in seen.fields:
        return warning("outage", f"closed; the client gets {seen.status} without Retry-After", "pass this field on")
    return right("outage", f"closed; the client gets {seen.status} with Retry-After")


def of_silence(seen: Observation, contract: str) -> Finding:
    """Check a request whose question got no answer, as if the enforcer had crashed."""
    if seen.arrived:
        return wrong("no answer", "forwarded although the enforcer did not answer", _OPEN[contract])
    return right("no answer", f"closed; the client gets {seen.status or 'no response'}")


def _some(texts: Sequence[str]) -> str:
    more = len(texts) - _SHOWN
    return ", ".join(texts[:_SHOWN]) + (f", and {more} more" if more > 0 else "")


def _equivalent(target: bytes) -> bytes:
    """Return a target with percent-encodings in upper case, which changes none of its readings (RFC 3986 §6.2.2.1)."""
    return _ENCODED.sub(lambda match: match[0].upper(), target)


def _comparison(asked: Asked, arrived: Arrived) -> str:
    """Return what differs between a question and the request that was forwarded."""
    if asked.method != arrived.method:
        return f"{_text(asked.method)} as {_text(arrived.method)}"
    if not arrived.target:
        return f"{_path(asked.target)} in a form that HTTP does not have"
    paths = _path(asked.target), _path(arrived.target)
    texts = paths if paths[0] != paths[1] else (_text(asked.target), _text(arrived.target))
    return " as ".join(texts)


def _path(target: bytes) -> str:
    return _text(target.partition(b"?")[0])


def _text(text: bytes) -> str:
    return text.decode("latin-1").encode("unicode_escape").decode().replace("\\\\", "\\")
