"""The images of a release: an archive for each platform, compiled if this machine can run that platform's programs."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
"""The architectures of the images, as images and as Linux name them."""
BUILDERS = ("docker", "podman", "buildah")
_BINFMT = Path("/proc/sys/fs/binfmt_misc")


@dataclass(frozen=True)
class ImageBuild:
    """The build of one image: its commands, and its archive."""

    architecture: str
    compiled: bool
    archive: Path
    commands: tuple[tuple[str, ...], ...]


def own_architecture() -> str:
    """Return the architecture of this machine, as images name it."""
    machine = platform.machine()
    return next((name for name, other in MACHINES.items() if machine in (name, other)), machine)


def runs(architecture: str) -> bool:
    """Return whether this machine runs programs of an architecture: its own, or one with an emulator."""
    if architecture == own_architecture() or sys.platform == "darwin":
        return True  # on a Mac, containers run in a virtual machine that has emulators
    registered = _BINFMT / f"qemu-{MACHINES[architecture]}"
    return registered.exists() and registered.read_text().startswith("enabled")


def works(builder: str) -> bool:
    """Return whether a program that builds images is installed, and its daemon, if any, responds."""
    if shutil.which(builder) is None:
        return False
    return subprocess.run([builder, "info"], capture_output=True, check=False).returncode == 0


def find_builder() -> str | None:
    """Return the first program that can build images here; None if there is none."""
    return next(filter(works, BUILDERS), None)


def plan(
    builder: str, image: str, version: str, labels: Sequence[str], dist: Path, can_run: Callable[[str], bool] = runs
) -> Iterator[ImageBuild]:
    """Yield the builds, to be run in the source tree, one after the other: all images have the same name.

    `labels` are build arguments. The build for this machine comes last, so that its image keeps the name.
    """
    own = own_architecture()
    for architecture in sorted(MACHINES, key=lambda name: name == own):
        compiled = can_run(architecture)
        archive = dist / f"token-enforcer-{version}-linux-{architecture}.image.tar"
        arguments = list(labels)
        if not compiled:
            arguments += [f"BUILDPLATFORM=linux/{own}", f"MACHINE={MACHINES[architecture]}"]
        build = [builder, "build", "--platform", f"linux/{architecture}", "--tag", image]
        build += ["--file", "Dockerfile" if compiled else "image/cross.Dockerfile"]
        build += [word for argument in arguments for word in ("--build-arg", argument)]
        save: tuple[str, ...] = (builder, "save", "--output", str(archive), image)
        if builder == "buildah":
            save = (builder, "push", image, f"docker-archive:{archive}:{image}")
        yield ImageBuild(architecture, compiled, archive, ((*build, "."), save))


def describe(build: ImageBuild) -> str:
    """Return a line about an image for people."""
    if build.compiled:
        return f"linux/{build.architecture}: {build.archive.name}, compiled"
    why = f"this machine cannot run programs of {build.architecture}; an emulator is needed (qemu-user-static, binfmt)"
    return f"linux/{build.architecture}: {build.archive.name}, INTERPRETED, and not tried: {why}"
