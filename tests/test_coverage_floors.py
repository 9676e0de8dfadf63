"""The coverage gate: a module below its floor fails the build, and floors only rise."""

import json
from pathlib import Path

import check_coverage
import pytest

FLOORS = """floor = 90

[lower]
"enforcer/a.py" = { floor = 40, reason = "runs in a subprocess" }
"enforcer/b.py" = { floor = 70, reason = "needs root" }
"""


def report(**percentages: float) -> str:
    """Return a report of coverage.py; a module of 0 has no lines."""
    summaries = {name: {"percent_covered": value, "num_statements": int(value)} for name, value in percentages.items()}
    return json.dumps({"files": {f"enforcer/{name}.py": {"summary": summary} for name, summary in summaries.items()}})


@pytest.mark.parametrize(
    ("percentages", "status"),
    [
        ({"a": 40.0, "b": 70.0, "c": 90.0}, 0),
        ({"a": 39.9, "b": 70.0, "c": 90.0}, 1),
        ({"a": 40.0, "b": 70.0, "c": 89.9}, 1),
        ({"a": 40.0, "b": 70.0, "empty": 0.0}, 0),
        ({"a": 40.0, "c": 90.0}, 2),
    ],
    ids=["all reach it", "below a lower floor", "below the floor", "no lines", "a module that does not exist"],
)
def test_the_exit_status_is_that_of_the_floors(
    percentages: dict[str, float], status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1 if a module is below its floor, 2 if the list of floors is outdated."""
    (tmp_path / "coverage.toml").write_text(FLOORS)
    monkeypatch.setattr(check_coverage, "FLOORS_FILE", tmp_path / "coverage.toml")
    (tmp_path / "measured.json").write_text(report(**percentages))
    assert check_coverage.main([str(tmp_path / "measured.json")]) == status


def test_the_table_marks_what_is_below_its_floor() -> None:
    """The lowest of a folder comes first."""
    measured = check_coverage.read_measured(report(a=50.0, b=60.0, c=95.0))
    lines = check_coverage.table(measured, check_coverage.read_floors(FLOORS))
    assert [line.split() for line in lines[1:]] == [
        ["enforcer/a.py", "50.0%", "40%"],
        ["enforcer/b.py", "60.0%", "70%", "BELOW"],
        ["enforcer/c.py", "95.0%", "90%"],
    ]


def test_floors_are_raised_and_never_lowered() -> None:
    """A lower floor that is no longer needed is removed, and a reason stays."""
    measured = check_coverage.read_measured(report(a=55.7, b=60.0))
    assert 'a.py" = { floor = 55, reason = "runs in a subprocess" }' in check_coverage.raised(FLOORS, measured)
    assert 'b.py" = { floor = 70, reason = "needs root" }' in check_coverage.raised(FLOORS, measured)
    measured = check_coverage.read_measured(report(a=90.0, b=70.0))
    assert "a.py" not in check_coverage.raised(FLOORS, measured)


def test_a_lower_floor_is_lower() -> None:
    """Otherwise, an exception above the general floor would have no effect."""
    with pytest.raises(ValueError, match=r"not lower than 90: enforcer/c\.py"):
        check_coverage.read_floors(FLOORS + '"enforcer/c.py" = { floor = 90, reason = "" }\n')
