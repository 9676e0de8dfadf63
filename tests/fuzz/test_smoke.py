"""The fuzzer itself: it finds nothing in what is whole, and soon what is broken."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fuzz.search import search

from enforcer.policy.decision import Allow
from enforcer.proxy import judgement
from enforcer.wire import target

_TESTS = Path(__file__).parents[1]


def test_search_finds_nothing_that_does_not_hold() -> None:
    """Two seconds of it, always the same: a little of each kind, and some requests that are forwarded."""
    report = asyncio.run(search(2.0, seed=1))
    assert report.failure is None
    assert all(report.counts[kind] > 0 for kind in ("requests", "targets", "answers", "requests forwarded"))


def _allow_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judgement, "decide", lambda *_: Allow(None, ("allow", "public")))


def _let_encoded_delimiters_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "_AMBIGUOUS", re.compile(rb"%00"))


@pytest.mark.parametrize("breaking", [_allow_all, _let_encoded_delimiters_through])
def test_search_finds_what_is_broken(
    monkeypatch: pytest.MonkeyPatch, breaking: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """With the decision or the reading of targets broken, it does not take long."""
    breaking(monkeypatch)
    assert asyncio.run(search(20.0, seed=1)).failure is not None


def test_saved_input_is_judged_again(tmp_path: Path) -> None:
    """An input in a file, whose ending is its kind, is judged as in a search."""
    saved = tmp_path / "saved.requests"
    saved.write_bytes(b"GET /public/../admin HTTP/1.1\r\nHost: app\r\n\r\n")
    command = [sys.executable, "-m", "fuzz", str(saved)]
    done = subprocess.run(command, cwd=_TESTS, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "all holds\n"), done.stderr
