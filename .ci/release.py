#!/usr/bin/env python3
"""Makes a release of the committed tree: checks it, builds everything into dist/, and tags it.

Usage: python .ci/release.py [--dry-run | --tagged] [--skip-checks]
       python .ci/release.py --notes

--dry-run      build, but do not tag; a condition that is not met is reported, and does not stop the build
--tagged       the commit has its tag already, as in CI: build for it
--skip-checks  do not run .ci/run, because it has passed for this commit
--notes        print the changelog's entries of the version

dist/ gets the source distribution, a wheel for every platform, a compiled wheel for the interpreter that runs this
script (and for each in PYTHONS, such as PYTHONS="python3.12 python3.13"), the charts, the images for amd64 and arm64 as
archives (if docker, podman or buildah is there), a bill of materials (CycloneDX), and SHA256SUMS. Everything is built
from an export of the commit, and the wheels from the source distribution, so that nothing untracked gets into them.

REGISTRY (ghcr.io/acme) and SOURCE (https://github.com/acme/token-enforcer) say where the images and the source will be
published; images and charts are then named accordingly.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import release_images
import sbom
import version as versions
from release_charts import Origin, build_charts

ROOT = versions.ROOT
OPTIONS = ("--dry-run", "--tagged", "--skip-checks", "--notes")
COMPILE = {"HATCH_BUILD_HOOK_ENABLE_CUSTOM": "true"}


class ReleaseError(Exception):
    """A step failed, or a condition of a release is not met."""


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> None:
    """Run a command, with its output shown; raises ReleaseError if it fails."""
    print("$", *command, flush=True)
    ended = subprocess.run(command, cwd=cwd, env={**os.environ, **environment}, check=False)
    if ended.returncode:
        raise ReleaseError(f"{command[0]} ended with status {ended.returncode}")


def git(*arguments: str) -> str:
    """Return the output of a git command, without white space around it."""
    ended = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise ReleaseError(f"git {arguments[0]}: {ended.stderr.strip()}")
    return ended.stdout.strip()


def changelog_section(text: str, version: str) -> str:
    """Return the entries of a version; raises ReleaseError if there are none, or the heading has no date."""
    heading = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d{{2}}-\d{{2}}$"
    section = re.search(rf"{heading}\n+(.*?)(?=^## |^\[[^\]]+\]: |\Z)", text, re.MULTILINE | re.DOTALL)
    if section is None:
        raise ReleaseError(f"CHANGELOG.md: expected a heading “## [{version}] - YYYY-MM-DD”")
    if not re.search(r"^- ", section[1], re.MULTILINE):
        raise ReleaseError(f"CHANGELOG.md: version {version} has no entries")
    return section[1].strip()


def unmet_conditions(version: str, *, tagged: bool = False) -> Iterator[str]:
    """Yield what stands in the way of releasing the current commit, which is `tagged` already, or will be."""
    if git("status", "--porcelain"):
        yield "the working tree has changes that are not committed"
    if tagged and f"v{version}" not in git("tag", "--points-at", "HEAD").split():
        yield f"the tag v{version} is not on this commit"
    if not tagged and git("tag", "--list", f"v{version}"):
        yield f"the tag v{version} exists already"
    if others := versions.others():
        yield f"other versions than {version} (run make version VERSION={version}): {', '.join(others)}"
    try:
        changelog_section((ROOT / "CHANGELOG.md").read_text("utf-8"), version)
    except ReleaseError as error:
        yield str(error)


def build_python(source: Path, dist: Path) -> None:
    """Build the source distribution, and from it the wheels: one for every platform, and a compiled one a Python."""
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", dist, cwd=source)
    (sdist,) = dist.glob("*.tar.gz")
    with TemporaryDirectory(prefix="enforcer-sdist-") as folder:
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
        (unpacked,) = Path(folder).iterdir()
        run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", dist, cwd=unpacked)
        run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", dist, cwd=unpacked, **COMPILE)
        for interpreter in os.environ.get("PYTHONS", "").split():
            environment = Path(folder, interpreter)
            run(interpreter, "-m", "venv", environment)
            python = environment / "bin" / "python"
            run(python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", ROOT / "image" / "build.lock")
            run(python, "-m", "hatchling", "build", "-t", "wheel", "-d", dist, cwd=unpacked, **COMPILE)


def build_images(source: Path, dist: Path, origin: Origin, *, dry_run: bool = False) -> list[str]:
    """Build the images and save them as archives; returns lines about them for people.

    Raises ReleaseError; a dry run reports a failed build instead, because a machine may lack the base images.
    """
    labels = [f"{name}={value}" for name, value in (("REVISION", origin.revision), ("CREATED", origin.created))]
    builder = release_images.find_builder()
    plan = [*release_images.plan(builder or release_images.BUILDERS[0], origin.image, origin.version, labels, dist)]
    if builder is None:
        wanted = (f"  {' '.join(command)}" for build in plan for command in build.commands)
        return ["NO IMAGES: docker, podman or buildah is needed to build them, and must be running:", *wanted]
    lines = ["images:"]
    for build in plan:
        try:
            for command in build.commands:
                run(*command, cwd=source)
        except ReleaseError as error:
            if not dry_run:
                raise
            lines.append(f"  linux/{build.architecture}: NOT BUILT: {error}")
        else:
            lines.append(f"  {release_images.describe(build)}")
    return lines


def write_bill(source: Path, dist: Path, origin: Origin) -> None:
    """Write the bill of materials."""
    (base,) = re.findall(r"^ARG BASE_IMAGE=(\S+)$", (source / "Dockerfile").read_text(), re.MULTILINE)
    lock = (source / "image" / "run.lock").read_text()
    bill = sbom.bill(origin.version, lock, created=origin.created, revision=origin.revision, base=base)
    (dist / f"{sbom.NAME}-{origin.version}.cdx.json").write_text(json.dumps(bill, indent=1) + "\n")


def write_checksums(dist: Path) -> None:
    """Write SHA256SUMS, for `sha256sum --check`."""
    paths = sorted(path for path in dist.iterdir() if path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in paths]
    (dist / "SHA256SUMS").write_text("".join(lines))


def release(*, dry_run: bool, skip_checks: bool, tagged: bool = False) -> None:
    """Make the release; raises ReleaseError."""
    version = versions.project_version()
    unmet = list(unmet_conditions(version, tagged=tagged))
    for condition in unmet:
        print(f"release: {condition}", file=sys.stderr)
    if unmet and not dry_run:
        raise ReleaseError("not released")
    if not skip_checks:
        run(ROOT / ".ci" / "run")
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    dist.mkdir()
    # Archives with the time of the commit in them: the same commit gives the same bytes.
    seconds = git("log", "-1", "--format=%ct")
    os.environ["SOURCE_DATE_EPOCH"] = seconds
    created = datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")
    places = (os.environ.get(name, "").rstrip("/") for name in ("REGISTRY", "SOURCE"))
    origin = Origin(version, git("rev-parse", "HEAD"), created, *places)
    with TemporaryDirectory(prefix="enforcer-release-") as folder:
        source = Path(folder)
        run("git", "archive", "--output", source / "source.tar", "HEAD")
        with tarfile.open(source / "source.tar") as archive:
            archive.extractall(source / "tree", filter="data")
        build_python(source / "tree", dist)
        build_charts(source / "tree", dist, origin)
        about_images = build_images(source / "tree", dist, origin, dry_run=dry_run)
        write_bill(source / "tree", dist, origin)
    write_checksums(dist)
    print((dist / "SHA256SUMS").read_text(), end="")
    print(*about_images, sep="\n")
    if tagged:
        return
    if dry_run:
        print(f"dry run: v{version} was not tagged")
        return
    notes = changelog_section((ROOT / "CHANGELOG.md").read_text("utf-8"), version)
    run("git", "tag", "--annotate", f"v{version}", "--message", f"Version {version}\n\n{notes}")
    print(f"tagged v{version}; publish it with: git push origin v{version}")


def main(arguments: Sequence[str]) -> int:
    """Run the script."""
    if unknown := set(arguments) - set(OPTIONS):
        print(f"release: unknown option {unknown.pop()}", file=sys.stderr)
        return 2
    dry_run, tagged, skip_checks, notes = (option in arguments for option in OPTIONS)
    try:
        if notes:
            print(changelog_section((ROOT / "CHANGELOG.md").read_text("utf-8"), versions.project_version()))
        else:
            release(dry_run=dry_run, skip_checks=skip_checks, tagged=tagged)
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
