"""Findings about TLS, clocks and response times."""

import pytest

from enforcer.doctor import diagnosis
from enforcer.doctor.diagnosis import Verdict

NOW = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110 §5.6.7
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
DAY = 86400


@pytest.mark.parametrize(
    ("left", "verdict", "shown"),
    [
        pytest.param(90 * DAY, Verdict.RIGHT, "expires in 90 days", id="far"),
        pytest.param(14 * DAY, Verdict.RIGHT, "expires in 14 days", id="just enough"),
        pytest.param(14 * DAY - 1, Verdict.WARNING, "expires in 13 days", id="renewal has failed"),
        pytest.param(DAY, Verdict.WARNING, "expires in 1 day", id="a day"),
    ],
)
def test_a_certificate_that_expires_soon_gets_a_warning(left: float, verdict: Verdict, shown: str) -> None:
    """Two weeks before that, automatic renewal must have failed."""
    finding = diagnosis.certificate("TLSv1.3", "auth.example.org", NOW + left, NOW)
    assert finding.verdict == verdict
    assert finding.found.endswith(shown)


@pytest.mark.parametrize(
    ("date", "verdict", "details"),
    [
        pytest.param(DATE, Verdict.RIGHT, "the same as ours", id="same"),
        pytest.param("Sun, 06 Nov 1994 08:49:32 GMT", Verdict.RIGHT, "the same as ours", id="within the noise"),
        pytest.param(
            "Sun, 06 Nov 1994 08:49:47 GMT", Verdict.WARNING, "the server's is 10 s ahead of ours", id="ahead"
        ),
        # Date is truncated to whole seconds, so one second does not count
        pytest.param("Sun, 06 Nov 1994 08:49:17 GMT", Verdict.WARNING, "the server's is 19 s behind ours", id="behind"),
        pytest.param(
            "Sun, 06 Nov 1994 08:50:37 GMT", Verdict.WARNING, "the server's is 60 s ahead of ours", id="a minute"
        ),
        pytest.param("Sun, 06 Nov 1994 08:50:38 GMT", Verdict.WRONG, "the server's is 61 s ahead of ours", id="more"),
        pytest.param(
            "Sun, 06 Nov 1994 07:49:37 GMT", Verdict.WRONG, "the server's is 3599 s behind ours", id="an hour"
        ),
        pytest.param(None, Verdict.WARNING, "the response has no Date field", id="none"),
        pytest.param("yesterday", Verdict.WARNING, "the response has no Date field", id="unreadable"),
    ],
)
def test_the_clock_is_compared_by_the_date_field(date: str | None, verdict: Verdict, details: str) -> None:
    """A difference of more than 5 s gets a warning, more than 60 s is wrong."""
    finding = diagnosis.clock(date, NOW, NOW)
    assert (finding.verdict, finding.found) == (verdict, details)


def test_a_slow_response_is_not_a_wrong_clock() -> None:
    """The server may have written the Date at any time between request and response."""
    assert diagnosis.clock(DATE, NOW - 90, NOW + 90).verdict == Verdict.RIGHT


@pytest.mark.parametrize(("seconds", "verdict"), [(0.01, Verdict.RIGHT), (1.0, Verdict.RIGHT), (1.1, Verdict.WARNING)])
def test_a_response_that_takes_more_than_half_of_the_timeout_is_slow(seconds: float, verdict: Verdict) -> None:
    """The rest is a reserve for times of high load."""
    assert diagnosis.answer_time(seconds, 2.0).verdict == verdict


@pytest.mark.parametrize(("status", "verdict"), [(200, Verdict.RIGHT), (404, Verdict.RIGHT), (502, Verdict.WARNING)])
def test_an_app_that_responds_is_reachable(status: int, verdict: Verdict) -> None:
    """It may refuse an unauthenticated request for /; only a status of 500 or more gets a warning."""
    assert diagnosis.app(status).verdict == verdict


@pytest.mark.parametrize(("secure", "advice"), [(False, "set protocol: h2c"), (True, "set protocol: auto, or h2")])
def test_an_app_of_another_protocol_names_the_setting(secure: bool, advice: str) -> None:
    """HTTP/2 with TLS, or without it."""
    assert diagnosis.only_http2(secure).advice == advice
    assert diagnosis.no_http2("why").advice == "set protocol: http1"


@pytest.mark.parametrize(
    ("code", "details", "advice"),
    [
        (10, "has expired", "renew it"),
        (81, "does not permit signing", "keyCertSign"),
        (92, "does not permit signing", "keyCertSign"),
        (85, "lacks a key identifier", "authorityKeyIdentifier"),
        (19, "is not trusted here", "tls.ca"),
        (99, "OpenSSL reports error 99", "tls.ca"),
    ],
)
def test_a_refused_certificate_is_explained(code: int, details: str, advice: str) -> None:
    """By OpenSSL's error number."""
    finding = diagnosis.bad_certificate(code)
    assert finding.verdict is Verdict.WRONG
    assert details in finding.found
    assert finding.advice is not None
    assert advice in finding.advice
