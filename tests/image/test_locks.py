"""What the image is made from is what is tested: its locks pick from requirements.lock."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = {path.name: path for path in (ROOT / "image").glob("*.lock")}
ENTRY = re.compile(r"^(\S+)==.*(?:\n {4}--hash=.*)+", re.MULTILINE)


def entries(path: Path) -> dict[str, str]:
    """Read a lock: each package's version, condition and hashes, as they are written."""
    return {found[1]: found[0].removesuffix(" \\") for found in ENTRY.finditer(path.read_text("utf-8"))}


def needed(*roots: Requirement) -> Iterator[str]:
    """Yield the names of all that is needed here by some requirements, themselves included."""
    waiting, seen = list(roots), set()
    while waiting:
        wanted = waiting.pop()
        for extra in ("", *wanted.extras):
            if (wanted.name, extra) in seen:
                continue
            seen.add((wanted.name, extra))
            for line in distribution(wanted.name).requires or ():
                found = Requirement(line)
                if found.marker is None or found.marker.evaluate({"extra": extra}):
                    waiting.append(found)
        yield canonicalize_name(wanted.name)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_of_the_image_has_the_tested_versions(name: str) -> None:
    """Same version, same hashes: `make lock` renews all of them at once."""
    picked = entries(LOCKS[name])
    assert picked.items() <= entries(ROOT / "requirements.lock").items()
    assert picked


@pytest.mark.parametrize(
    ("name", "roots"),
    [("run.lock", ["token-enforcer[demo]"]), ("build.lock", ["hatchling", "mypy", "setuptools"])],
    ids=["run", "build"],
)
def test_a_lock_of_the_image_has_all_that_is_needed_and_no_more(name: str, roots: list[str]) -> None:
    """Nothing that only the tests need goes into the image."""
    assert set(entries(LOCKS[name])) == set(needed(*map(Requirement, roots))) - {"token-enforcer"}


def test_the_build_lock_is_for_the_build_backend_and_what_compiles() -> None:
    """pyproject.toml names no other."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    hook = project["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
    wanted = [*project["build-system"]["requires"], *hook["dependencies"]]
    assert [Requirement(line).name for line in wanted] == ["hatchling", "mypy", "setuptools"]
