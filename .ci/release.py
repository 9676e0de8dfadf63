#!/usr/bin/env python3
"""Makes a release of the committed tree: checks it, builds everything into dist/, and tags it.

Usage: python .ci/release.py [--dry-run] [--skip-checks]

--dry-run      build, but do not tag; a condition that is not met is reported, and does not stop the build
--skip-checks  do not run .ci/run, because it has passed for this commit

dist/ gets the source distribution, a wheel for every platform, a compiled wheel for the interpreter that runs this
script (and for each in PYTHONS, such as PYTHONS="python3.12 python3.13"), the charts, the image as an archive (if
docker, podman or buildah is there), and SHA256SUMS. Everything is built from an export of the commit, and the wheels
from the source distribution, so that nothing untracked gets into them.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import version as versions

ROOT = versions.ROOT
CHARTS = ("enforcer", "enforcer-lib")
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


def unmet_conditions(version: str) -> Iterator[str]:
    """Yield what stands in the way of releasing the current commit."""
    if git("status", "--porcelain"):
        yield "the working tree has changes that are not committed"
    if git("tag", "--list", f"v{version}"):
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


def build_charts(source: Path, dist: Path) -> None:
    """Package the charts."""
    import helm_python

    for chart in CHARTS:
        archive = helm_python.package(source / "helm" / chart, destination=dist)
        print("packaged", Path(archive).name)


def works(builder: str) -> bool:
    """Return whether a program that builds images is installed, and its daemon, if any, responds."""
    if shutil.which(builder) is None:
        return False
    return subprocess.run([builder, "info"], capture_output=True, check=False).returncode == 0


def build_image(source: Path, dist: Path, version: str) -> bool:
    """Build the image and save it as an archive; return False if this machine has nothing to build it with."""
    builder = next(filter(works, ("docker", "podman", "buildah")), None)
    if builder is None:
        print("no image: docker, podman or buildah is needed to build one, and must be running", file=sys.stderr)
        return False
    image, archive = f"token-enforcer:{version}", dist / f"token-enforcer-{version}.image.tar"
    run(builder, "build", "--tag", image, "--build-arg", f"REVISION={git('rev-parse', 'HEAD')}", source)
    if builder == "buildah":
        run(builder, "push", image, f"docker-archive:{archive}:{image}")
    else:
        run(builder, "save", "--output", archive, image)
    return True


def write_checksums(dist: Path) -> None:
    """Write SHA256SUMS, for `sha256sum --check`."""
    paths = sorted(path for path in dist.iterdir() if path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in paths]
    (dist / "SHA256SUMS").write_text("".join(lines))


def release(*, dry_run: bool, skip_checks: bool) -> None:
    """Make the release; raises ReleaseError."""
    version = versions.project_version()
    unmet = list(unmet_conditions(version))
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
    os.environ["SOURCE_DATE_EPOCH"] = git("log", "-1", "--format=%ct")
    with TemporaryDirectory(prefix="enforcer-release-") as folder:
        source = Path(folder)
        run("git", "archive", "--output", source / "source.tar", "HEAD")
        with tarfile.open(source / "source.tar") as archive:
            archive.extractall(source / "tree", filter="data")
        build_python(source / "tree", dist)
        build_charts(source / "tree", dist)
        build_image(source / "tree", dist, version)
    write_checksums(dist)
    print((dist / "SHA256SUMS").read_text(), end="")
    if dry_run:
        print(f"dry run: v{version} was not tagged")
        return
    notes = changelog_section((ROOT / "CHANGELOG.md").read_text("utf-8"), version)
    run("git", "tag", "--annotate", f"v{version}", "--message", f"Version {version}\n\n{notes}")
    print(f"tagged v{version}; publish it with: git push origin v{version}")


def main(arguments: Sequence[str]) -> int:
    """Run the script."""
    if unknown := set(arguments) - {"--dry-run", "--skip-checks"}:
        print(f"release: unknown option {unknown.pop()}", file=sys.stderr)
        return 2
    try:
        release(dry_run="--dry-run" in arguments, skip_checks="--skip-checks" in arguments)
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
