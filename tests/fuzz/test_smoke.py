"""The fuzzer itself: it finds no violation in the enforcer, and soon one in a broken enforcer."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fuzz.documents import KINDS
from fuzz.search import search

from enforcer.policy.decision import Allow
from enforcer.proxy import authorize
from enforcer.wire import target

_INPUTS = 600
_TESTS = Path(__file__).parents[1]


def test_search_finds_no_violation() -> None:
    """A few hundred inputs, always the same: some of each kind, and some requests that are forwarded."""
    report = asyncio.run(search(120.0, seed=1, limit=_INPUTS))
    assert report.failure is None
    kinds = (
        *KINDS,
        "requests",
        "targets",
        "responses",
        "frames",
        "app frames",
        "requests forwarded",
        "streams forwarded",
    )
    assert all(report.counts[kind] > 0 for kind in kinds)


def _allow_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authorize, "decide", lambda *_: Allow(None, ("allow", "public")))


def _let_encoded_delimiters_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "_AMBIGUOUS", re.compile(rb"%00"))


@pytest.mark.parametrize("breaking", [_allow_all, _let_encoded_delimiters_through])
def test_search_finds_a_violation_in_a_broken_enforcer(
    monkeypatch: pytest.MonkeyPatch, breaking: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """With a broken decision or a broken target parser."""
    breaking(monkeypatch)
    assert asyncio.run(search(120.0, seed=1)).failure is not None


def test_saved_input_is_checked_again(tmp_path: Path) -> None:
    """The file's extension is the kind of input; the properties are those of a search."""
    saved = tmp_path / "saved.requests"
    saved.write_bytes(b"GET /public/../admin HTTP/1.1\r\nHost: app\r\n\r\n")
    command = [sys.executable, "-m", "fuzz", str(saved)]
    ended = subprocess.run(command, cwd=_TESTS, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "no violations\n"), ended.stderr
