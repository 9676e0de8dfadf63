"""Findings about a front proxy, from observations of its probes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import pytest

from enforcer.doctor.diagnosis import Finding, Verdict
from enforcer.doctor.front_proxy.judgement import (
    of_first,
    of_forged,
    of_naming,
    of_outage,
    of_paths,
    of_refusals,
    of_silence,
)
from enforcer.doctor.front_proxy.probes import Arrived, Asked, Observation, Probe, forged_probes, path_probes
from enforcer.settings.decision import ContractName

LISTENERS = {"127.0.0.1:8092": "nginx"}
RIGHT, WARNING, WRONG = Verdict.RIGHT, Verdict.WARNING, Verdict.WRONG


def question(target: bytes = b"/one?q", method: bytes = b"GET", client: str = "127.0.0.1", fault: str = "") -> Asked:
    return Asked(method, target, b"app", "127.0.0.1:8092", client, fault)


def request(target: bytes = b"/one?q", method: bytes = b"GET", *fields: tuple[bytes, bytes]) -> Arrived:
    return Arrived(method, target, fields)


def seen(
    asked: Asked | None = None,
    arrived: Arrived | None = None,
    *,
    status: int = 200,
    target: bytes = b"/one?q",
    allowed: bool = True,
    fields: Mapping[bytes, bytes] | None = None,
    sent: tuple[tuple[bytes, bytes], ...] = (),
) -> Observation:
    questions, requests = () if asked is None else (asked,), () if arrived is None else (arrived,)
    return Observation(Probe("subject", target, sent), status, fields or {}, "why", questions, requests, allowed)


def first(observation: Observation, *, admitted: bool = True) -> Finding:
    return of_first(observation, LISTENERS, admitted=admitted)


@pytest.mark.parametrize(
    ("observation", "expected"),
    [
        (seen(question(), request()), "asked on 127.0.0.1:8092, in the contract nginx"),
        (seen(status=0), "no response of the front proxy: why"),
        (seen(status=404), "the front proxy responds with 404, and does not ask on 127.0.0.1:8092"),
        (seen(arrived=request()), "a request is forwarded without a question"),
        (seen(question(fault="x-original-uri: missing"), status=500), "by the contract nginx: x-original-uri: missing"),
        (seen(question(), status=502), "responds with 502; the allowed request is not forwarded"),
    ],
)
def test_an_ordinary_request_is_asked_about_and_forwarded(observation: Observation, expected: str) -> None:
    """Otherwise the finding says which step is missing."""
    finding = first(observation)
    assert expected in finding.found
    assert (finding.verdict is RIGHT) == ("asked on" in expected)


def test_a_caller_that_may_not_ask_is_reported_first() -> None:
    """Nothing of its questions is believed, so no other finding would be true."""
    assert "may not ask" in first(seen(question(), status=403), admitted=False).found


@pytest.mark.parametrize(
    ("asked", "arrived", "expected"),
    [
        (b"/a/../b", b"/b", "/a/../b as /b"),
        (b"/a%2fb", b"/a/b", "/a%2fb as /a/b"),
        (b"/b?q", b"/b", "/b?q as /b"),
        (b"/b", b"", "/b in a form that HTTP does not have"),
    ],
)
def test_a_path_that_is_rewritten_after_the_question_is_an_error(asked: bytes, arrived: bytes, expected: str) -> None:
    """The app gets another request than the one that was allowed; each contract has its advice."""
    for contract in get_args(ContractName):
        _, finding = of_paths([seen(question(asked), request(arrived))], contract)
        assert (finding.what, finding.verdict, finding.found) == ("rewritten after the question", WRONG, expected)
        assert finding.advice


def test_another_method_is_an_error() -> None:
    """A rule may allow GET only."""
    _, finding = of_paths([seen(question(method=b"GET"), request(method=b"POST"))], "forwarded")
    assert (finding.verdict, finding.found) == (WRONG, "GET as POST")


def test_encodings_may_change_their_case() -> None:
    """No parser reads them differently."""
    findings = of_paths([seen(question(b"/%5c"), request(b"/%5C"), target=b"/%5c")], "nginx")
    assert [finding.verdict for finding in findings] == [RIGHT]


def test_a_path_may_be_rewritten_before_the_question() -> None:
    """The target that is decided on is forwarded."""
    paths, finding = of_paths([seen(question(b"/b"), request(b"/b"), target=b"/a/../b")], "envoy-grpc")
    assert (paths.found, finding.verdict, finding.found) == (
        *("1 forwarded as decided on, 0 refused", RIGHT, "/a/../b as /b"),
    )


@pytest.mark.parametrize(
    "observation", [seen(arrived=request()), seen(question(fault="ambiguous"), request(), allowed=False)]
)
def test_a_path_that_is_forwarded_without_a_decision_is_open(observation: Observation) -> None:
    """Nobody asked, or the answer was ignored."""
    finding = of_paths([observation], "haproxy")[-1]
    assert (finding.what, finding.verdict) == ("open", WRONG)
    assert "http-request deny" in finding.advice


def test_a_finding_names_a_few_paths() -> None:
    """And the number of the others."""
    finding = of_paths([seen(question(b"/a/%d" % index), request(b"/b")) for index in range(9)], "request")[-1]
    assert finding.found.endswith("/a/5 as /b, and 3 more")


def test_a_forged_field_must_change_nothing() -> None:
    """Neither the question, nor its client, nor the identity that the app gets."""
    expected, identity = question(), ["X-Auth-Subject"]

    def of(observation: Observation) -> list[tuple[Verdict, str]]:
        return [(each.verdict, each.found) for each in of_forged([observation], expected, "forwarded", identity)]

    assert of(seen(question(), request())) == [(RIGHT, "none has an effect")]
    assert of(seen(status=400)) == [(RIGHT, "none has an effect")]
    assert of(seen(question(fault="repeated"), status=400)) == [(RIGHT, "none has an effect")]
    assert of(seen(question(b"/enforcer-forged"), request())) == [(WRONG, "a client chooses what is decided on")]
    assert of(seen(question(client="203.0.113.77"), request())) == [
        (WRONG, "a client chooses the address that it is limited by")
    ]
    sent = ((b"X_Auth_Subject", b"root"),)
    for name, reaches in ((b"x-auth_subject", True), (b"X-Other", False)):
        findings = of(seen(question(), request(b"/one?q", b"GET", (name, b"root")), sent=sent))
        assert (findings[0] == (WRONG, "a client's own identity field reaches the app")) is reaches


def test_a_field_that_names_another_target_must_be_a_part_of_the_question() -> None:
    """If the app gets it; otherwise it has no effect."""
    sent = ((b"Destination", b"/two"),)
    without, passed = question(), question()._replace(fields=((b"destination", b"/two"),))
    arrived = request(b"/one?q", b"GET", *sent)
    finding = of_naming([seen(without, arrived, sent=sent), seen(passed, arrived, sent=sent)])
    assert (finding.verdict, finding.found) == (WRONG, "the app gets subject, on which nothing is decided")
    for asked, request_of_app in ((passed, arrived), (without, request()), (without, None)):
        assert of_naming([seen(asked, request_of_app, sent=sent)]).verdict is RIGHT


@pytest.mark.parametrize(
    ("status", "fields", "expected"),
    [(401, {b"www-authenticate": b"Bearer"}, [RIGHT]), (401, {}, [RIGHT, WARNING]), (500, {}, [RIGHT, WARNING])],
)
def test_a_refusal_reaches_the_client(status: int, fields: Mapping[bytes, bytes], expected: list[Verdict]) -> None:
    """With its status and its challenge; a proxy that hides them is closed all the same."""
    refused = seen(question(), status=status, fields=fields, allowed=False)
    assert [finding.verdict for finding in of_refusals([refused], "nginx")] == expected


def test_a_refused_request_must_not_be_forwarded() -> None:
    """Not even one of all paths."""
    refused = seen(question(), status=401, fields={b"www-authenticate": b"Bearer"}, allowed=False)
    (finding,) = of_refusals([refused, seen(question(), request(), target=b"/a;b?q", allowed=False)], "nginx")
    assert (finding.verdict, finding.found) == (WRONG, "forwarded although refused: /a;b")


def test_an_outage_is_closed_and_no_denial() -> None:
    """A client that gets 401 or 403 throws a good token away."""
    assert of_outage(seen(question(), request()), "request").verdict is WRONG
    assert of_outage(seen(question(), status=403), "request").verdict is WARNING
    assert of_outage(seen(question(), status=503), "request").verdict is WARNING
    assert of_outage(seen(question(), status=503, fields={b"retry-after": b"1"}), "request").verdict is RIGHT
    assert of_silence(seen(question(), request()), "request").verdict is WRONG
    assert of_silence(seen(question(), status=0), "request").found == "closed; the client gets no response"


def test_each_probe_has_its_own_target_and_the_marker() -> None:
    """It is recognized in questions and in requests."""
    probes = path_probes(b"/api", b"m4rk")
    assert len({probe.target for probe in probes}) == len(probes)
    assert all(probe.target.startswith(b"/api/") and probe.target.endswith(b"m4rk") for probe in probes)
    names = [probe.fields[0][0] for probe in forged_probes(b"", b"m4rk", ["X-Auth-Subject"])]
    assert names[-3:] == [b"X-Auth-Subject", b"x-auth-subject", b"X_Auth_Subject"]
