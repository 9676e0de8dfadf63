"""`make image`: the arguments that it passes to the builder, and the effects that its options must not have."""

from __future__ import annotations

import os
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from harness.waiting import TIMEOUT

ROOT = Path(__file__).parents[2]


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make as from a terminal, without the variables of an outer make."""
    inherited = {
        "MAKEFLAGS",
        "MAKEOVERRIDES",
        "MFLAGS",
        "MAKELEVEL",
        "BASE_IMAGE",
        "BUILD_IMAGE",
        "COMPILED",
        "BUILD_ARGS",
    }
    environment = {name: value for name, value in os.environ.items() if name not in inherited}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )


def built(*options: str) -> set[str]:
    """Return the build arguments passed to the builder, except the ones of every build."""
    ended = make("--silent", "image", "BUILDER=echo", *options)
    assert ended.returncode == 0
    words = ended.stdout.split()
    arguments = {value for word, value in pairwise(words) if word == "--build-arg"}
    return {value for value in arguments if not value.startswith(("REVISION=", "CREATED="))}


def test_options_of_the_image_are_build_arguments() -> None:
    """Without an option, the Dockerfile's default applies."""
    assert built() == set()
    assert built("COMPILED=false") == {"COMPILED=false"}
    both = {"BASE_IMAGE=slim", "BUILD_IMAGE=whole"}
    assert built(*both, "COMPILED=false") == {*both, "COMPILED=false"}


@pytest.mark.parametrize("options", [[], ["COMPILED=false"], ["--dry-run"]], ids=str)
def test_a_base_image_needs_a_build_image(options: list[str]) -> None:
    """Only the user who chose the base knows which build image matches it."""
    ended = make("image", "BUILDER=echo", "BASE_IMAGE=slim", *options)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "BASE_IMAGE=… needs BUILD_IMAGE=… too" in ended.stderr


def test_a_build_image_needs_a_base_image() -> None:
    """Both must have the same Python."""
    ended = make("image", "BUILDER=echo", "BUILD_IMAGE=whole")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "BUILD_IMAGE=… needs BASE_IMAGE=… too" in ended.stderr


def test_no_option_sets_the_folder_to_remove() -> None:
    """`rm -rf` with a value from the user could remove anything."""
    ended = make("--dry-run", "--what-if=hatch_build.py", "build/compiled/.ready", "COMPILED=/precious")
    assert "rm -rf build/compiled\n" in ended.stdout
    assert "/precious" not in ended.stdout
