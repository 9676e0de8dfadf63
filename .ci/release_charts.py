"""The charts of a release: packages that name the images, the source and the revision that they belong to.

A checkout knows neither a registry nor a home page. A release gets them as REGISTRY (such as ghcr.io/acme) and SOURCE
(such as https://github.com/acme/token-enforcer), and writes them into its copy of the charts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

CHARTS = ("enforcer", "enforcer-lib")
PLATFORMS = ("linux/amd64", "linux/arm64")
REPOSITORY = "token-enforcer"


@dataclass(frozen=True)
class Origin:
    """The origin of a release: version, commit and its time; registry and source are empty if they are not known."""

    version: str
    revision: str
    created: str
    registry: str = ""
    source: str = ""

    @property
    def image(self) -> str:
        """The name of the image, with its tag."""
        return "/".join(filter(None, (self.registry, f"{REPOSITORY}:{self.version}")))


def stamp(chart: Path, origin: Origin) -> None:
    """Write the origin into a chart: its metadata, and the names of its images."""
    file = chart / "Chart.yaml"
    metadata = yaml.safe_load(file.read_text("utf-8"))
    annotations = metadata["annotations"]
    annotations["org.opencontainers.image.revision"] = origin.revision
    annotations["org.opencontainers.image.created"] = origin.created
    annotations["artifacthub.io/prerelease"] = str(is_prerelease(origin.version)).lower()
    if origin.source:
        metadata |= {"home": origin.source, "sources": [origin.source]}
        annotations["org.opencontainers.image.source"] = origin.source
    if origin.registry:
        # The images are in no registry otherwise, and a name without one would be looked for in docker.io.
        image = {"name": REPOSITORY, "image": origin.image, "platforms": [*PLATFORMS]}
        annotations["artifacthub.io/images"] = yaml.safe_dump([image], sort_keys=False)
        _set_registry(chart, origin)
    file.write_text(yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True, width=10_000), "utf-8")


def is_prerelease(version: str) -> bool:
    """Return whether users should expect incompatible changes: before 1.0.0, and in release candidates."""
    return version.startswith("0.") or re.fullmatch(r"\d+\.\d+\.\d+", version) is None


def _set_registry(chart: Path, origin: Origin) -> None:
    """Have the chart's default image come from the registry."""
    for path, pattern, text in (
        ("values.yaml", r'(?m)^  registry: ""$', f"  registry: {origin.registry}"),
        ("templates/_settings.tpl", rf"(?m)^image: {REPOSITORY}:\S+$", f"image: {origin.image}"),
    ):
        file = chart / path
        if file.exists():
            changed, count = re.subn(pattern, text, file.read_text("utf-8"))
            if count != 1:
                raise ValueError(f"{file}: expected one default image, found {count}")
            file.write_text(changed, "utf-8")


def build_charts(source: Path, dist: Path, origin: Origin) -> list[Path]:
    """Package the charts of a source tree; returns the packages."""
    import helm_python

    packages = []
    for name in CHARTS:
        stamp(source / "helm" / name, origin)
        packages.append(Path(helm_python.package(source / "helm" / name, destination=dist)))
        print("packaged", packages[-1].name)
    return packages
