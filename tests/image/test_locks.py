"""The image is built from the tested versions: its lock files are subsets of requirements.lock."""

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
    """Return the entries of a lock file by package: version, condition and hashes as written."""
    return {match[1]: match[0].removesuffix(" \\") for match in ENTRY.finditer(path.read_text("utf-8"))}


def closure(*roots: Requirement) -> Iterator[str]:
    """Yield the names of all packages that some requirements need on this system, including their own."""
    pending, seen = list(roots), set()
    while pending:
        requirement = pending.pop()
        for extra in ("", *requirement.extras):
            if (requirement.name, extra) in seen:
                continue
            seen.add((requirement.name, extra))
            for line in distribution(requirement.name).requires or ():
                dependency = Requirement(line)
                if dependency.marker is None or dependency.marker.evaluate({"extra": extra}):
                    pending.append(dependency)
        yield canonicalize_name(requirement.name)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_of_the_image_has_the_tested_versions(name: str) -> None:
    """The versions and hashes are equal, because `make lock` updates all lock files at once."""
    locked = entries(LOCKS[name])
    assert locked.items() <= entries(ROOT / "requirements.lock").items()
    assert locked


@pytest.mark.parametrize(
    ("name", "roots"),
    [("run.lock", ["token-enforcer[demo]"]), ("build.lock", ["hatchling", "mypy", "setuptools"])],
    ids=["run", "build"],
)
def test_a_lock_file_of_the_image_has_exactly_the_needed_packages(name: str, roots: list[str]) -> None:
    """The image has no package that only the tests need."""
    assert set(entries(LOCKS[name])) == set(closure(*map(Requirement, roots))) - {"token-enforcer"}


def test_the_build_lock_is_for_the_build_backend_and_the_compiler() -> None:
    """pyproject.toml has no other build requirements."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    hook = project["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
    requirements = [*project["build-system"]["requires"], *hook["dependencies"]]
    assert [Requirement(line).name for line in requirements] == ["hatchling", "mypy", "setuptools"]
