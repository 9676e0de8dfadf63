"""The software bill of materials of a release, in CycloneDX: every Python package in the image, as locked.

The system packages of the image's base are not in it: only the built image has them, and its scanners find them.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any

from packaging.markers import Marker

NAME = "token-enforcer"
_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)\s*(?:;\s*([^\\\n]+?))?\s*\\?$", re.MULTILINE)
_VIA = re.compile(r"^    #(?: via |   )([A-Za-z0-9][A-Za-z0-9._-]*)", re.MULTILINE)
_IMAGE = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "implementation_name": "cpython"}


@dataclass(frozen=True)
class Package:
    """A locked package, and the packages that need it."""

    name: str
    version: str
    needed_by: tuple[str, ...]

    @property
    def purl(self) -> str:
        return f"pkg:pypi/{re.sub(r'[-_.]+', '-', self.name).lower()}@{self.version}"


def packages(lock: str) -> Iterator[Package]:
    """Yield the packages of a lock file that are installed in the image, which is Linux with CPython."""
    matches = list(_REQUIREMENT.finditer(lock))
    for match, following in zip(matches, [*matches[1:], None], strict=True):
        name, version, marker = match.groups()
        if marker is None or Marker(marker).evaluate({**_IMAGE, "platform_python_implementation": "CPython"}):
            block = lock[match.end() : following.start() if following else len(lock)]
            yield Package(name, version, tuple(_VIA.findall(block)))


def bill(version: str, lock: str, *, created: str, revision: str, base: str) -> dict[str, Any]:
    """Return the bill of a version as a CycloneDX document; equal arguments give equal documents.

    `base` is the image's base, such as docker.io/library/python:3.13-slim-bookworm.
    """
    locked = list(packages(lock))
    by_name = {package.name: package for package in locked}
    root = f"pkg:pypi/{NAME}@{version}"
    needs: dict[str, list[str]] = {root: [], **{package.purl: [] for package in locked}}
    for package in locked:
        for name in package.needed_by:
            needs[by_name[name].purl if name in by_name else root].append(package.purl)
    image, _, tag = base.rpartition(":")
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{root}#{revision}')}",
        "version": 1,
        "metadata": {
            "timestamp": created,
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": NAME,
                "version": version,
                "purl": root,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
                "properties": [{"name": "revision", "value": revision}],
            },
        },
        "components": [
            *(_component(package) for package in locked),
            {"type": "container", "bom-ref": base, "name": image, "version": tag, "description": "the image's base"},
        ],
        "dependencies": [{"ref": name, "dependsOn": sorted(others)} for name, others in needs.items()],
    }


def _component(package: Package) -> Mapping[str, Any]:
    component: dict[str, Any] = {"type": "library", "bom-ref": package.purl, "name": package.name}
    component |= {"version": package.version, "purl": package.purl}
    if (expression := _license(package)) is not None:
        component["licenses"] = [{"license": {"name": expression}}]
    return component


def _license(package: Package) -> str | None:
    """Return the license that the installed package states, if this version of it is installed here."""
    try:
        stated = metadata(package.name)
    except PackageNotFoundError:
        return None
    if stated["Version"] != package.version:
        return None
    text = stated.json.get("license_expression") or stated.json.get("license")
    return text if isinstance(text, str) and "\n" not in text else None
