"""The workflow that publishes a release: it publishes what `make release` makes, and signs it."""

import re
from pathlib import Path
from typing import Any

import pytest
import release_charts
import release_images
import sbom
import yaml

ROOT = Path(__file__).parent.parent
FILE = ROOT / ".github" / "workflows" / "release.yml"
WORKFLOW: dict[Any, Any] = yaml.safe_load(FILE.read_text("utf-8"))
STEPS: list[dict[str, Any]] = WORKFLOW["jobs"]["release"]["steps"]
SCRIPT = "\n".join(step.get("run", "") for step in STEPS)


def test_it_runs_for_version_tags_only() -> None:
    """`on` is a boolean to YAML 1.1."""
    assert WORKFLOW[True] == {"push": {"tags": ["v[0-9]*"]}}


def test_it_has_no_permission_by_default() -> None:
    """A job has what it needs; only the one that publishes may write."""
    assert WORKFLOW["permissions"] == {}
    assert WORKFLOW["jobs"]["wheels"]["permissions"] == {"contents": "read"}
    assert set(WORKFLOW["jobs"]["release"]["permissions"]) == {"contents", "packages", "id-token", "attestations"}


def test_it_publishes_the_files_of_the_release() -> None:
    """By the names that `make release` gives them."""
    (own,) = {build.archive.name for build in release_images.plan("docker", "", "$VERSION", [], Path("dist"))} & {
        f"token-enforcer-$VERSION-linux-{release_images.own_architecture()}.image.tar"
    }
    assert own.replace(release_images.own_architecture(), "$architecture") in SCRIPT
    assert f"for architecture in {' '.join(release_images.MACHINES)}; do" in SCRIPT
    assert f"for chart in {' '.join(release_charts.CHARTS)}; do" in SCRIPT
    assert f"dist/{sbom.NAME}-$VERSION.cdx.json" in SCRIPT
    assert 'image="$REGISTRY/token-enforcer"' in SCRIPT


@pytest.mark.parametrize("target", re.findall(r"make ([a-z]+)", SCRIPT))
def test_it_calls_targets_that_exist(target: str) -> None:
    """With the variables that the Makefile knows."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    for variable in re.findall(r"\b([A-Z_]+)=1", SCRIPT):
        assert f"$(if $({variable})" in makefile


def test_what_it_publishes_is_signed_by_digest() -> None:
    """A tag could be moved between the push and the signature."""
    signatures = [line.strip() for line in SCRIPT.splitlines() if line.strip().startswith("cosign ")]
    assert [line.split()[1] for line in signatures] == ["sign", "attest", "sign", "sign-blob"]
    assert all("@" in line for line in signatures[:3])


def test_a_shell_stops_at_the_first_error() -> None:
    """The default of a workflow's shell; a pipe's first command is never the one that may fail."""
    assert all("shell" not in step for step in STEPS)


@pytest.mark.parametrize("file", sorted(FILE.parent.glob("*.yml")), ids=lambda path: path.name)
def test_actions_have_a_version(file: Path) -> None:
    """A branch of somebody else may change at any time."""
    used = re.findall(r"uses: (\S+)", file.read_text("utf-8"))
    assert used
    assert [action for action in used if not re.fullmatch(r"[\w./-]+@v\d+", action)] == []
