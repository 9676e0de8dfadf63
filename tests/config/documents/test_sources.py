"""File signatures: a change of a file is noticed without reading it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.waiting import eventually

from enforcer.config.documents.sources import signature


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


def _change_mode(path: Path) -> None:
    path.chmod(0o640)


def _append(path: Path) -> None:
    with path.open("a") as file:
        file.write("\n")


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


@pytest.mark.parametrize("change", [_write, _rewrite_at_the_same_time, _replace, _change_mode, _append, _remove])
def test_a_file_that_changed_has_another_signature(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """Even if its size, name or modification time stayed the same."""
    path = tmp_path / "file"
    path.write_text("before")
    first = signature(path)
    assert signature(path) == first

    def changed() -> bool:
        change(path)
        return signature(path) != first

    assert eventually(changed)  # the clock of some file systems is coarse


def test_a_link_has_the_signature_of_its_target(tmp_path: Path) -> None:
    """An update of a ConfigMap swaps a linked folder: no file and no path changes."""
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
    """A new file is a change of its folder."""
    os.utime(tmp_path, (0, 0))
    first = signature(tmp_path)
    (tmp_path / "new").touch()
    assert signature(tmp_path) != first


def test_a_missing_file_has_no_signature(tmp_path: Path) -> None:
    """Nor has an impossible path. A file that appears later is then a change."""
    assert signature(tmp_path / "nowhere") is signature(Path("\0")) is None
