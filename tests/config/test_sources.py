"""Telling that a file is not what it was, without reading it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.waiting import eventually

from enforcer.config.sources import signature


def _write(path: Path) -> None:
    path.write_text("after!")


def _rewrite_at_the_same_time(path: Path) -> None:
    times = path.stat()
    path.write_text("after!")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _replace(path: Path) -> None:
    beside = path.with_suffix(".new")
    beside.write_text("before")
    os.replace(beside, path)


def _let_read(path: Path) -> None:
    path.chmod(0o640)


def _append(path: Path) -> None:
    with path.open("a") as file:
        file.write("\n")


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


@pytest.mark.parametrize("change", [_write, _rewrite_at_the_same_time, _replace, _let_read, _append, _remove])
def test_a_file_that_changed_has_another_signature(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """Whatever did not change with it: size, name, time of writing."""
    path = tmp_path / "file"
    path.write_text("before")
    first = signature(path)
    assert signature(path) == first

    def changed() -> bool:
        change(path)
        return signature(path) != first

    assert eventually(changed)  # the clock of some file systems is coarse


def test_a_link_is_what_it_leads_to(tmp_path: Path) -> None:
    """Where a folder of a ConfigMap is swapped, no file changes, and none of the paths to them."""
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "config.yaml").write_text("same size")
    data, path = tmp_path / "..data", tmp_path / "config.yaml"
    data.symlink_to("v1")
    path.symlink_to("..data/config.yaml")
    first = signature(path)
    beside = tmp_path / "..data_tmp"
    beside.symlink_to("v2")
    os.replace(beside, data)
    assert signature(path) != first


def test_a_folder_changes_with_its_entries(tmp_path: Path) -> None:
    """A file that comes is a change, though nobody knew of it."""
    os.utime(tmp_path, (0, 0))
    first = signature(tmp_path)
    (tmp_path / "new").touch()
    assert signature(tmp_path) != first


def test_what_is_not_there_has_none(tmp_path: Path) -> None:
    """Nor what can have no such name; a change is told when it comes."""
    assert signature(tmp_path / "nowhere") is signature(Path("\0")) is None
