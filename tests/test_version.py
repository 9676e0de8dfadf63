"""One version: pyproject.toml has it, and every file that repeats it agrees."""

import subprocess
from pathlib import Path

import pytest
import version

ROOT = Path(__file__).parent.parent
REPEATING = ("Dockerfile", "pyproject.toml", "helm/enforcer/Chart.yaml", "k8s/base/deployment.yaml")


def test_every_place_has_the_version_of_the_project() -> None:
    """`make version VERSION=…` writes all of them."""
    assert version.others() == []


@pytest.mark.parametrize("name", REPEATING)
def test_files_that_repeat_the_version_are_known(name: str) -> None:
    """The patterns find it in the files that certainly have it."""
    assert list(version.places(Path(name), (ROOT / name).read_text("utf-8")))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Copy the repository's files."""
    for path in version.files():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes((ROOT / path).read_bytes())
    for command in (["init", "--quiet"], ["add", "--all", "--force"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True, timeout=60)
    return tmp_path


def test_a_version_that_is_written_is_everywhere(copy: Path) -> None:
    """In every file that had the old one, and the digests of rendered manifests are those of the changed files."""
    changed = version.write("98.7.6", copy)
    assert {*REPEATING} <= {str(path) for path in changed}
    assert version.project_version(copy) == "98.7.6"
    assert version.others(copy) == []
    checked = subprocess.run(
        ["sha256sum", "--check", "--quiet", version.DIGESTS], cwd=copy, capture_output=True, text=True, timeout=60
    )
    assert (checked.returncode, checked.stdout) == (0, "")


def test_a_place_that_differs_is_named(copy: Path) -> None:
    """With its line."""
    dockerfile = copy / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("ARG VERSION=", "ARG VERSION=9"))
    (place,) = version.others(copy)
    assert place.startswith("Dockerfile:")


@pytest.mark.parametrize(("text", "status"), [("1.2", 2), ("v1.2.3", 2), ("latest", 2)])
def test_a_version_has_three_numbers(text: str, status: int) -> None:
    """Anything else is not written."""
    assert version.main([text]) == status
