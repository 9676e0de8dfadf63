"""The charts of a release: they name what was released with them."""

import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
import release_charts
import yaml
from release_charts import Origin, build_charts, is_prerelease, stamp

ROOT = Path(__file__).parent.parent
KNOWN = Origin("1.2.0", "abc", "2026-11-30T00:00:00Z", "ghcr.io/acme", "https://github.com/acme/token-enforcer")
IMAGE = f"token-enforcer:{KNOWN.version}"
UNKNOWN = Origin("1.2.0", "abc", "2026-11-30T00:00:00Z")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Copy the charts."""
    for name in release_charts.CHARTS:
        shutil.copytree(ROOT / "helm" / name, tmp_path / "helm" / name)
    return tmp_path


def metadata(chart: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((chart / "Chart.yaml").read_text("utf-8")))


def test_a_chart_names_the_released_image(tree: Path) -> None:
    """In the annotation that Artifact Hub shows, and in the values that it installs."""
    chart = tree / "helm" / "enforcer"
    stamp(chart, KNOWN)
    (image,) = yaml.safe_load(metadata(chart)["annotations"]["artifacthub.io/images"])
    assert image["image"] == f"ghcr.io/acme/{IMAGE}"
    assert image["platforms"] == ["linux/amd64", "linux/arm64"]
    values = yaml.safe_load((chart / "values.yaml").read_text("utf-8"))
    assert f"{values['image']['registry']}/{values['image']['repository']}:1.2.0" == image["image"]
    library = tree / "helm" / "enforcer-lib"
    stamp(library, KNOWN)
    assert f"image: ghcr.io/acme/{IMAGE}\n" in (library / "templates" / "_settings.tpl").read_text("utf-8")


def test_a_chart_has_its_origin(tree: Path) -> None:
    """The commit, its time and the source. Everything else stays."""
    chart = tree / "helm" / "enforcer"
    before = metadata(chart)
    stamp(chart, KNOWN)
    after = metadata(chart)
    assert after["home"] == KNOWN.source
    assert after["sources"] == [KNOWN.source]
    annotations = after["annotations"]
    assert annotations["org.opencontainers.image.revision"] == "abc"
    assert annotations["org.opencontainers.image.created"] == "2026-11-30T00:00:00Z"
    assert annotations["org.opencontainers.image.source"] == KNOWN.source
    assert all(isinstance(value, str) for value in annotations.values())
    own = {"home": KNOWN.source, "sources": [KNOWN.source], "annotations": annotations}
    assert after == {**before, **own}


def test_without_a_registry_no_image_is_named(tree: Path) -> None:
    """A name without a registry means docker.io, which does not have it."""
    chart = tree / "helm" / "enforcer"
    values = (chart / "values.yaml").read_text("utf-8")
    stamp(chart, UNKNOWN)
    assert "artifacthub.io/images" not in metadata(chart)["annotations"]
    assert "home" not in metadata(chart)
    assert (chart / "values.yaml").read_text("utf-8") == values


@pytest.mark.parametrize(("version", "expected"), [("0.9.0", True), ("1.0.0", False), ("1.0.0rc1", True)])
def test_a_prerelease_is_marked(version: str, expected: bool) -> None:
    """Artifact Hub shows it."""
    assert is_prerelease(version) is expected


def test_the_packages_are_stamped(tree: Path, tmp_path: Path) -> None:
    """And are charts that Helm accepts."""
    dist = tmp_path / "dist"
    dist.mkdir()
    packages = build_charts(tree, dist, KNOWN)
    assert [package.name.rsplit("-", 1)[0] for package in packages] == ["enforcer", "enforcer-lib"]
    with tarfile.open(packages[0]) as archive:
        member = archive.extractfile("enforcer/Chart.yaml")
        assert member is not None
        assert yaml.safe_load(member)["home"] == KNOWN.source
        assert "enforcer/templates/check.yaml" in archive.getnames()
