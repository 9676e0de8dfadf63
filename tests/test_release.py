"""The release script: its conditions, and what it takes from the changelog."""

import hashlib
import json
from pathlib import Path

import pytest
import release
import release_charts
import release_images
import version

ROOT = Path(__file__).parent.parent

CHANGELOG = """# Changelog

## [Unreleased]

### Added

- A later thing.

## [1.2.0] - 2026-11-30

### Fixed

- A bug.

## [1.1.0]

- No date.

## [1.0.0] - 2026-11-01

[1.2.0]: https://example.org/
"""


def test_the_entries_of_a_version_are_its_notes() -> None:
    """Without those of other versions."""
    assert release.changelog_section(CHANGELOG, "1.2.0") == "### Fixed\n\n- A bug."


@pytest.mark.parametrize(
    ("number", "message"),
    [
        ("1.3.0", "expected a heading"),
        ("1.1.0", "expected a heading"),
        ("1.0.0", "has no entries"),
        ("1.2", "expected a heading"),
    ],
    ids=["missing", "no date", "empty", "prefix"],
)
def test_a_version_without_dated_entries_is_not_released(number: str, message: str) -> None:
    """The changes must be written down before."""
    with pytest.raises(release.ReleaseError, match=message):
        release.changelog_section(CHANGELOG, number)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Replace git by a table of its answers: a clean tree without tags, with one version."""
    answers = {"status": "", "tag": ""}
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    monkeypatch.setattr(release, "ROOT", tmp_path)
    monkeypatch.setattr(release, "git", lambda command, *_: answers[command])
    monkeypatch.setattr(version, "others", list)
    return answers


def test_a_clean_tree_with_a_new_version_is_released(repository: dict[str, str]) -> None:
    """No condition is unmet."""
    assert list(release.unmet_conditions("1.2.0")) == []


def test_every_unmet_condition_is_reported(repository: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once."""
    repository.update(status=" M Makefile", tag="v1.3.0")
    monkeypatch.setattr(version, "others", lambda: ["Dockerfile:34: 1.2.0"])
    assert [*release.unmet_conditions("1.3.0")] == [
        "the working tree has changes that are not committed",
        "the tag v1.3.0 exists already",
        "other versions than 1.3.0 (run make version VERSION=1.3.0): Dockerfile:34: 1.2.0",
        "CHANGELOG.md: expected a heading “## [1.3.0] - YYYY-MM-DD”",
    ]


def test_in_ci_the_commit_has_the_tag_already(repository: dict[str, str]) -> None:
    """The tag of its own version: another one would publish under a wrong name."""
    repository["tag"] = "v1.2.0\nother"
    assert list(release.unmet_conditions("1.2.0", tagged=True)) == []
    repository["tag"] = "v1.1.0"
    assert list(release.unmet_conditions("1.2.0", tagged=True)) == ["the tag v1.2.0 is not on this commit"]


def test_without_a_builder_the_commands_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of the release is built."""
    monkeypatch.setattr(release_images, "find_builder", lambda: None)
    origin = release_charts.Origin("1.2.0", "abc", "2026-11-30T00:00:00Z")
    title, *commands = release.build_images(tmp_path, tmp_path, origin)
    assert title.startswith("NO IMAGES: docker, podman or buildah is needed")
    assert [command.split()[:2] for command in commands] == [["docker", "build"], ["docker", "save"]] * 2


def test_only_a_dry_run_survives_a_failed_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says which image is missing."""
    monkeypatch.setattr(release_images, "find_builder", lambda: "false")
    origin = release_charts.Origin("1.2.0", "abc", "2026-11-30T00:00:00Z")
    with pytest.raises(release.ReleaseError, match="false ended with status 1"):
        release.build_images(tmp_path, tmp_path, origin)
    title, *lines = release.build_images(tmp_path, tmp_path, origin, dry_run=True)
    assert title == "images:"
    assert sorted(lines) == [
        f"  linux/{architecture}: NOT BUILT: false ended with status 1" for architecture in release_images.MACHINES
    ]


def test_the_bill_of_materials_is_written(tmp_path: Path) -> None:
    """Of the image's lock file, with the base of the Dockerfile."""
    origin = release_charts.Origin("1.2.0", "abc", "2026-11-30T00:00:00Z")
    release.write_bill(ROOT, tmp_path, origin)
    bill = json.loads((tmp_path / "token-enforcer-1.2.0.cdx.json").read_text())
    assert bill["components"][-1]["name"] == "docker.io/library/python"


def test_checksums_are_those_of_sha256sum(tmp_path: Path) -> None:
    """And do not contain themselves."""
    (tmp_path / "b.whl").write_bytes(b"wheel")
    (tmp_path / "a.tar.gz").write_bytes(b"source")
    for _ in range(2):
        release.write_checksums(tmp_path)
    expected = [
        (hashlib.sha256(content).hexdigest(), name) for content, name in ((b"source", "a.tar.gz"), (b"wheel", "b.whl"))
    ]
    assert [tuple(line.split("  ")) for line in (tmp_path / "SHA256SUMS").read_text().splitlines()] == expected


def test_an_unknown_option_is_an_error() -> None:
    """Nothing is built."""
    assert release.main(["--tag"]) == 2
