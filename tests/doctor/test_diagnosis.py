"""What is made of a server's answers, each case by itself."""

import json
from typing import Any

import pytest

from enforcer.doctor import diagnosis
from enforcer.doctor.diagnosis import Seen, Verdict

NOW = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110 §5.6.7
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
DAY = 86400
URL = "https://auth.example.org/introspect"
ISSUER = "https://auth.example.org"


def seen(status: int = 200, body: Any = b"", **fields: str) -> Seen:
    """Make an answer; what is not bytes is written as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Seen(
        URL, status, {name.replace("_", "-"): value for name, value in fields.items()}, content, False, NOW, NOW
    )


@pytest.mark.parametrize(
    ("left", "verdict", "shown"),
    [
        pytest.param(90 * DAY, Verdict.RIGHT, "ends in 90 days", id="far"),
        pytest.param(14 * DAY, Verdict.RIGHT, "ends in 14 days", id="just enough"),
        pytest.param(14 * DAY - 1, Verdict.WARNING, "ends in 13 days", id="renewal has failed"),
        pytest.param(DAY, Verdict.WARNING, "ends in 1 day", id="a day"),
    ],
)
def test_a_certificate_is_judged_by_the_days_left(left: float, verdict: Verdict, shown: str) -> None:
    """Two weeks before its end, whatever renews it must have failed."""
    finding = diagnosis.certificate("TLSv1.3", "auth.example.org", NOW + left, NOW)
    assert finding.verdict == verdict
    assert finding.found.endswith(shown)


@pytest.mark.parametrize(
    ("date", "verdict", "found"),
    [
        pytest.param(DATE, Verdict.RIGHT, "the same as ours", id="same"),
        pytest.param("Sun, 06 Nov 1994 08:49:32 GMT", Verdict.RIGHT, "the same as ours", id="within the noise"),
        pytest.param(
            "Sun, 06 Nov 1994 08:49:47 GMT", Verdict.WARNING, "the server's is 10 s ahead of ours", id="ahead"
        ),
        # Date is cut to whole seconds: a second is the server's by right
        pytest.param("Sun, 06 Nov 1994 08:49:17 GMT", Verdict.WARNING, "the server's is 19 s behind ours", id="behind"),
        pytest.param(
            "Sun, 06 Nov 1994 08:50:37 GMT", Verdict.WARNING, "the server's is 60 s ahead of ours", id="a minute"
        ),
        pytest.param("Sun, 06 Nov 1994 08:50:38 GMT", Verdict.WRONG, "the server's is 61 s ahead of ours", id="more"),
        pytest.param(
            "Sun, 06 Nov 1994 07:49:37 GMT", Verdict.WRONG, "the server's is 3599 s behind ours", id="an hour"
        ),
        pytest.param(None, Verdict.WARNING, "the answer has no Date", id="none"),
        pytest.param("yesterday", Verdict.WARNING, "the answer has no Date", id="unreadable"),
    ],
)
def test_the_clock_is_read_from_the_date_of_an_answer(date: str | None, verdict: Verdict, found: str) -> None:
    """More than 5 s is worth a look, more than 60 s is wrong."""
    finding = diagnosis.clock(date, NOW, NOW)
    assert (finding.verdict, finding.found) == (verdict, found)


def test_a_slow_answer_makes_no_clock_wrong() -> None:
    """The Date may have been written at any moment while the answer was waited for."""
    assert diagnosis.clock(DATE, NOW - 90, NOW + 90).verdict == Verdict.RIGHT


@pytest.mark.parametrize(("seconds", "verdict"), [(0.01, Verdict.RIGHT), (1.0, Verdict.RIGHT), (1.1, Verdict.WARNING)])
def test_an_answer_that_takes_more_than_half_of_what_it_may_is_slow(seconds: float, verdict: Verdict) -> None:
    """The other half is for a bad day."""
    assert diagnosis.answer_time(seconds, 2.0).verdict == verdict


@pytest.mark.parametrize(("status", "verdict"), [(200, Verdict.RIGHT), (404, Verdict.RIGHT), (502, Verdict.WARNING)])
def test_an_app_that_answers_is_reachable(status: int, verdict: Verdict) -> None:
    """What it answers to somebody unknown at / is its own affair."""
    assert diagnosis.app(seen(status)).verdict == verdict


@pytest.mark.parametrize(
    ("code", "found", "advice"),
    [
        (10, "has expired", "renew it"),
        (81, "does not say that it may sign", "keyCertSign"),
        (92, "does not say that it may sign", "keyCertSign"),
        (85, "lacks a key identifier", "authorityKeyIdentifier"),
        (19, "is not trusted here", "tls.ca"),
        (99, "OpenSSL gives the number 99", "tls.ca"),
    ],
)
def test_a_certificate_that_is_not_accepted_is_told_what_it_lacks(code: int, found: str, advice: str) -> None:
    """By OpenSSL's number, as far as it says more than that."""
    finding = diagnosis.bad_certificate(code)
    assert finding.verdict is Verdict.WRONG
    assert found in finding.found
    assert finding.advice is not None
    assert advice in finding.advice
