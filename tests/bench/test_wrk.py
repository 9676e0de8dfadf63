"""The output of wrk: every form of number that it prints is read, and an unreadable one is an error."""

from __future__ import annotations

import math

import pytest

from bench.processes import BenchError
from bench.wrk import Summary, count, microseconds, read

# As wrk 4.1.0 prints it: a value with a unit of one letter is padded with a blank.
OUTPUT = """\
Running 4s test @ http://127.0.0.1:18015/ms-system/country/code/AUS
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   298.12ms  312.77ms   1.98s    84.85%
    Req/Sec   214.21    121.33   460.00     60.00%
  Latency Distribution
     50%  131.24ms
     75%  402.10ms
     90%  806.54ms
     99%    1.13s\x20
  845 requests in 4.01s, 174.10KB read
Requests/sec:    210.72
Transfer/sec:     43.42KB
"""


def test_a_percentile_in_seconds_is_read() -> None:
    """The blank that wrk prints behind `s` does not hide the number."""
    assert read(OUTPUT) == Summary(845, 4.01e6, p50=131_240.0, p99=1.13e6, refusals=0, timeouts=0, failures=0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.00us", 0.0),
        ("850.00us", 850.0),
        (" 3.20ms", 3_200.0),
        ("1.13s ", 1.13e6),
        ("\t1.50m ", 9e7),
        ("2.00h ", 7.2e9),
        ("2s", 2e6),
    ],
)
def test_each_unit_of_time_is_read(text: str, expected: float) -> None:
    """The result is in microseconds, with or without blanks around the value."""
    assert microseconds(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "expected"), [("0", 0), ("845", 845), ("12.50k ", 12_500), ("1.20M", 1_200_000), ("2G", 2_000_000_000)]
)
def test_each_unit_of_a_count_is_read(text: str, expected: int) -> None:
    """The units are decimal."""
    assert count(text) == expected


@pytest.mark.parametrize("text", ["", "s", "1.13", "1.13 s s", "1.13S", "1.13M", "-nanus", "infs", "-1.00ms", "1.2.3s"])
def test_an_unreadable_time_is_an_error(text: str) -> None:
    """A time without a unit is one as well."""
    with pytest.raises(BenchError, match="cannot read"):
        microseconds(text)


@pytest.mark.parametrize("text", ["", "k", "8x", "1.13s", "1.13m", "nan", "-1", "1e3"])
def test_an_unreadable_count_is_an_error(text: str) -> None:
    """A unit of time is not one of a count."""
    with pytest.raises(BenchError, match="cannot read"):
        count(text)


@pytest.mark.parametrize(
    ("line", "replacement"),
    [
        ("     99%    1.13s \n", ""),
        ("     99%    1.13s \n", "     99%      nan \n"),
        ("     50%  131.24ms\n", "     50%  131.24\n"),
        ("  845 requests in 4.01s,", "  845 requests in 4.01,"),
        ("  845 requests in 4.01s,", "  many requests in 4.01s,"),
        ("  845 requests in 4.01s,", "  845 responses in 4.01s,"),
    ],
)
def test_a_figure_that_is_missing_or_unreadable_is_an_error(line: str, replacement: str) -> None:
    """No figure of a measurement is ever empty: the error shows the output."""
    assert line in OUTPUT
    with pytest.raises(BenchError, match="Running 4s test"):
        read(OUTPUT.replace(line, replacement))


def test_errors_are_zero_if_wrk_does_not_print_them() -> None:
    """It prints these lines only if there are any, and then an unreadable number is an error."""
    lines = "  Socket errors: connect 3, read 4, write 5, timeout 12\n  Non-2xx or 3xx responses: 845\n"
    summary = read(OUTPUT.replace("Requests/sec:", f"{lines}Requests/sec:"))

    assert (summary.refusals, summary.timeouts, summary.failures) == (845, 12, 3 + 4 + 5)
    for number in ("connect 3", "read 4", "write 5", "timeout 12", "responses: 845"):
        broken = lines.replace(number, f"{number.split()[0]} ?")
        with pytest.raises(BenchError):
            read(OUTPUT.replace("Requests/sec:", f"{broken}Requests/sec:"))


def test_no_figure_is_ever_not_a_number() -> None:
    """A NaN would pass through the medians into the report."""
    summary = read(OUTPUT)
    assert all(math.isfinite(value) for value in (summary.duration, summary.p50, summary.p99))
