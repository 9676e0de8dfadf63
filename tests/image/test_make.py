"""`make image`, as far as what it has the builder do, and what its options do not reach."""

from __future__ import annotations

import os
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make as from a terminal: not with what a make above has been told."""
    told = {"MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "MAKELEVEL", "BASE_IMAGE", "BUILD_IMAGE", "COMPILED", "BUILD_ARGS"}
    environment = {name: value for name, value in os.environ.items() if name not in told}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=20, check=False)


def built(*options: str) -> set[str]:
    """Return the build arguments that the builder is given, but those that any build has."""
    ended = make("--silent", "image", "BUILDER=echo", *options)
    assert ended.returncode == 0
    words = ended.stdout.split()
    given = {value for word, value in pairwise(words) if word == "--build-arg"}
    return {value for value in given if not value.startswith(("REVISION=", "CREATED="))}


def test_options_of_the_image_are_build_arguments() -> None:
    """Those that are not given are as the Dockerfile says."""
    assert built() == set()
    assert built("COMPILED=false") == {"COMPILED=false"}
    both = {"BASE_IMAGE=slim", "BUILD_IMAGE=whole"}
    assert built(*both, "COMPILED=false") == {*both, "COMPILED=false"}


@pytest.mark.parametrize("options", [[], ["COMPILED=false"], ["--dry-run"]], ids=str)
def test_a_base_is_given_with_what_to_build_in(options: list[str]) -> None:
    """Which one, can only be known by who chose the base."""
    ended = make("image", "BUILDER=echo", "BASE_IMAGE=slim", *options)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "BASE_IMAGE=… needs BUILD_IMAGE=… too" in ended.stderr


def test_what_to_build_in_is_given_with_a_base() -> None:
    """The two have the same Python."""
    ended = make("image", "BUILDER=echo", "BUILD_IMAGE=whole")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "BUILD_IMAGE=… needs BASE_IMAGE=… too" in ended.stderr


def test_no_option_says_which_folder_is_removed() -> None:
    """`rm -rf` of a word that a user gives would be of anything."""
    ended = make("--dry-run", "--what-if=hatch_build.py", "build/compiled/.ready", "COMPILED=/precious")
    assert "rm -rf build/compiled\n" in ended.stdout
    assert "/precious" not in ended.stdout
