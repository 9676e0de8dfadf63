"""A pytest plugin that keeps failed tests in build/failed-tests/, one file for each failed run.

A later run does not overwrite it: the name and output of a test that fails once in ten runs are still there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

FOLDER = Path("build", "failed-tests")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write the report of a run with failures and errors, and print its path last."""
    reports = [report for outcome in ("failed", "error") for report in terminalreporter.getreports(outcome)]
    if not reports or hasattr(config, "workerinput"):  # the workers of pytest-xdist report to the first process
        return
    folder = config.rootpath / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}.txt"
    path.write_text("\n".join(_lines(reports, config)), "utf-8")
    terminalreporter.write_line(f"kept in {path.relative_to(config.rootpath)}")


def _lines(reports: list[pytest.TestReport | pytest.CollectReport], config: pytest.Config) -> Iterator[str]:
    """Yield the names of all failed tests and modules, then the trace and the captured output of each."""
    yield f"pytest {' '.join(config.invocation_params.args)}"
    yield f"load average {' '.join(f'{load:.2f}' for load in os.getloadavg())} on {os.cpu_count()} cores"
    yield ""
    for report in reports:
        # A module that cannot be collected has no phase and no duration: no test has run.
        phase = getattr(report, "when", "collect")
        duration = f"{report.duration:.2f} s, " if hasattr(report, "duration") else ""
        yield f"{report.nodeid} ({phase}, {duration}worker {getattr(report, 'worker_id', 'main')})"
    for report in reports:
        yield f"\n{'=' * 20} {report.nodeid}"
        yield report.longreprtext
        for title, text in report.sections:
            yield f"{'-' * 20} {title}"
            yield text
    yield ""
