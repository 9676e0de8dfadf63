"""What the benchmark makes of its samples."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from bench.picture import draw
from bench.report import Run, insert
from bench.results import Results
from bench.verdicts import TIMES, Verdict, verdicts

_MACHINE = dict.fromkeys(("cpu", "cores", "kind", "memory", "kernel", "system", "load", "files"), "?")
_PEERS = dict.fromkeys(("nginx", "njs", "apache", "mod_oauth2", "envoy", "starlette", "httpx", "wrk"), "?")
_VERSIONS = _PEERS | dict.fromkeys(("python", "uvicorn", "uvloop", "httptools"), "?")


def _results(**cpu: list[float]) -> Results:
    rest = {"rate": 1000.0, "p50": 10.0, "p99": 20.0, "timeouts": 0.0, "resident": 1e6}
    samples = {name: [{"cpu": value, **rest} for value in values] for name, values in cpu.items()}
    return Results({"cached": samples, "unseen": samples})


def test_ratio_is_formed_within_a_round_and_its_median_counts() -> None:
    """A round in which all were slow changes no ratio."""
    found = verdicts(_results(nginx=[20, 40, 20], njs=[50, 100, 50], enforcer=[40, 80, 45]))

    assert [one.values for one in found[:2]] == [[0.8, 0.8, 0.9], [2.0, 2.0, 2.25]]
    assert [(one.median, one.met) for one in found[:2]] == [(0.8, True), (2.0, False)]


@pytest.mark.parametrize(("value", "at_least", "met"), [(0.5, True, True), (0.49, True, False), (0.51, False, False)])
def test_bound_itself_is_met(value: float, at_least: bool, met: bool) -> None:
    """A figure that is exactly what is wanted is met, from either side."""
    assert Verdict("figure", [value], 0.5, TIMES, at_least).met == met


def test_what_was_not_measured_is_not_judged() -> None:
    """A run of one load has the verdicts of that load alone."""
    assert [one.unit for one in verdicts(_results(nginx=[1], njs=[1], enforcer=[1]))] == [TIMES] * 3


def test_table_takes_the_place_of_the_one_before() -> None:
    """All else on the page stays as it is."""
    page = "before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n"

    assert insert(page, "new") == "before\n<!-- bench -->\nnew\n<!-- /bench -->\nafter\n"


@pytest.mark.parametrize("page", ["", "<!-- bench -->", "<!-- /bench --> <!-- bench -->"])
def test_page_without_marks_is_not_written(page: str) -> None:
    """Where the table goes is the author's choice."""
    with pytest.raises(LookupError):
        insert(page, "new")


def test_saved_run_gives_the_same_table(tmp_path: Path) -> None:
    """The README is made from what was saved, not from another run."""
    run = Run(_MACHINE, _VERSIONS, 1, 1, _results(nginx=[20], njs=[50], enforcer=[40]))
    run.save(tmp_path / "latest.json")

    assert Run.read(tmp_path / "latest.json").readme("picture.svg") == run.readme("picture.svg")


def test_picture_is_an_image_with_one_bar_marked_in_each_group(tmp_path: Path) -> None:
    """It is XML, and of each group's bars the enforcer's is the one that stands out."""
    draw(_results(nginx=[20], njs=[50], naive=[9000], enforcer=[40]), tmp_path / "bench.svg")

    bars = [bar.get("class") for bar in Xml.parse(tmp_path / "bench.svg").iter("{http://www.w3.org/2000/svg}rect")]
    assert bars == ["page", None, "ours", None, None, None, "ours", None, None]
