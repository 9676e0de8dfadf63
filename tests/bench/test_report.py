"""The benchmark's goals, tables and picture, computed from samples."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from bench.goals import TIMES, Goal, goals
from bench.picture import draw
from bench.report import Run, insert
from bench.results import Results

_MACHINE = dict.fromkeys(("cpu", "cores", "kind", "memory", "kernel", "system", "load", "files"), "?")
_PEERS = dict.fromkeys(("nginx", "njs", "apache", "mod_oauth2", "envoy", "starlette", "httpx", "wrk"), "?")
_VERSIONS = _PEERS | dict.fromkeys(("python", "uvicorn", "uvloop", "httptools"), "?")


def _results(**cpu: list[float]) -> Results:
    rest = {"rate": 1000.0, "p50": 10.0, "p99": 20.0, "timeouts": 0.0, "resident": 1e6}
    samples = {name: [{"cpu": value, **rest} for value in values] for name, values in cpu.items()}
    return Results({"cached": samples, "unseen": samples})


def test_a_ratio_is_formed_within_a_round_and_its_median_is_the_result() -> None:
    """A round in which all servers were slow changes no ratio."""
    reached = goals(_results(nginx=[20, 40, 20], njs=[50, 100, 50], enforcer=[40, 80, 45]))

    assert [goal.values for goal in reached[:2]] == [[0.8, 0.8, 0.9], [2.0, 2.0, 2.25]]
    assert [(goal.median, goal.met) for goal in reached[:2]] == [(0.8, True), (2.0, False)]


@pytest.mark.parametrize(("value", "at_least", "met"), [(0.5, True, True), (0.49, True, False), (0.51, False, False)])
def test_bound_itself_is_met(value: float, at_least: bool, met: bool) -> None:
    """A figure equal to its bound meets the goal, whether the bound is a minimum or a maximum."""
    assert Goal("figure", [value], 0.5, TIMES, at_least).met == met


def test_a_load_that_was_not_measured_has_no_goals() -> None:
    """A run of two loads has only the goals of these loads."""
    assert [goal.unit for goal in goals(_results(nginx=[1], njs=[1], enforcer=[1]))] == [TIMES] * 3


def test_a_decision_is_compared_with_a_proxied_request_and_grpc_with_http() -> None:
    """In CPU time, since the gateway has the rest of the work."""
    results = Results(
        {
            "decision": {
                "proxied": [{"cpu": 100.0}],
                "contract request": [{"cpu": 60.0}],
                "contract nginx": [{"cpu": 80.0}],
            },
            "decision-grpc": {"HTTP": [{"cpu": 60.0}], "gRPC": [{"cpu": 180.0}]},
        }
    )
    assert [(goal.median, goal.bound, goal.met) for goal in goals(results)] == [
        (0.6, 0.7, True),
        (0.8, 0.7, False),
        (3.0, 3.0, True),
    ]


@pytest.mark.parametrize(("p99", "met"), [([30.0, 20.0, 90.0], True), ([31.0, 20.0, 90.0], False)])
def test_the_99th_percentile_with_many_connections_is_at_most_three_times_the_median(
    p99: list[float], met: bool
) -> None:
    """The ratio is formed within a round; the other proxies have no such goal."""
    slow = {"p50": 1.0, "p99": 100.0}
    results = Results({"many": {"nginx": [slow] * 3, "enforcer": [{"p50": 10.0, "p99": value} for value in p99]}})
    (goal,) = goals(results)

    assert goal.figure == "p99 over p50, cached token, 1,000 connections"
    assert goal.values == [value / 10 for value in p99]
    assert (goal.bound, goal.met) == (3.0, met)


def test_the_report_has_the_latencies_with_many_connections() -> None:
    """Its table names the number of connections, and shows both percentiles."""
    sample = {"rate": 1000.0, "cpu": 20.0, "p50": 17_000.0, "p99": 34_000.0, "timeouts": 0.0, "resident": 6e7}
    report = Run(_MACHINE, _VERSIONS, 1, 1, Results({"many": {"enforcer": [sample]}})).markdown()

    assert "| Cached token, allowed GET, 1,000 connections | requests/s |" in report
    assert "| **enforcer** | 1,000 | 20.0 | 17.00 | 34.00 | 60 |" in report
    assert "| p99 over p50, cached token, 1,000 connections | × 2.00 | 2.00 – 2.00 | ≤ × 3.00 | met |" in report


def test_an_earlier_build_is_compared_without_other_proxies() -> None:
    """Its goals are the ratios to the earlier build, one for each load."""
    reached = goals(_results(**{"enforcer": [41.0, 44.0], "enforcer at 1a2b3c4": [40.0, 40.0]}))

    assert [(goal.figure, goal.values) for goal in reached] == [
        ("CPU per request, cached token, over enforcer at 1a2b3c4", [1.025, 1.1]),
        ("CPU per request, unseen tokens, over enforcer at 1a2b3c4", [1.025, 1.1]),
    ]


def test_a_new_table_replaces_the_old_one() -> None:
    """The rest of the page is unchanged."""
    page = "before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n"

    assert insert(page, "new") == "before\n<!-- bench -->\nnew\n<!-- /bench -->\nafter\n"


@pytest.mark.parametrize("page", ["", "<!-- bench -->", "<!-- /bench --> <!-- bench -->"])
def test_a_page_without_marks_is_an_error(page: str) -> None:
    """The place of the table is the author's choice."""
    with pytest.raises(LookupError):
        insert(page, "new")


def test_a_saved_run_gives_the_same_table(tmp_path: Path) -> None:
    """docs/speed.md is written from the saved results."""
    run = Run(_MACHINE, _VERSIONS, 1, 1, _results(nginx=[20], njs=[50], enforcer=[40]))
    run.save(tmp_path / "latest.json")

    assert Run.read(tmp_path / "latest.json").section("picture.svg") == run.section("picture.svg")


def test_the_picture_marks_one_bar_in_each_group(tmp_path: Path) -> None:
    """It is well-formed XML, and the marked bar is the enforcer's."""
    draw(_results(nginx=[20], njs=[50], naive=[9000], enforcer=[40]), tmp_path / "bench.svg")

    bars = [bar.get("class") for bar in Xml.parse(tmp_path / "bench.svg").iter("{http://www.w3.org/2000/svg}rect")]
    assert bars == ["page", None, "ours", None, None, None, "ours", None, None]
