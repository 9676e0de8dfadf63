#!/usr/bin/env python3
"""The version of the project: pyproject.toml has it, and this script writes it to every other file that repeats it.

Usage: python .ci/version.py             prints the version; exit status 1 if a file has another one
       python .ci/version.py VERSION     writes VERSION to all of them
       python .ci/version.py --injected  then, with VERSION installed: writes the injected manifest of the demo again

Manifests and charts must name a version themselves, because nothing builds them: they are applied as they are.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSION = re.compile(r"\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?")
ANYWHERE = (
    r"token-enforcer:{}",  # an image
    r"app\.kubernetes\.io/version: {}",
    r"newTag: {}",
    r"ARG VERSION={}",
    r"enforcer, version {}",
    r'enforcer\.dev/status: \'\{{"version":"{}"',
)
BY_NAME = {"pyproject.toml": (r'(?m)^version = "{}"',), "Chart.yaml": (r"(?m)^version: {}", r'(?m)^appVersion: "{}"')}
DIGESTS = Path("tests", "kustomize", "SHA256SUMS")


def project_version(root: Path = ROOT) -> str:
    """Return the version that pyproject.toml has."""
    (version,) = [version for _, version in places(Path("pyproject.toml"), root.joinpath("pyproject.toml").read_text())]
    return version


def places(path: Path, text: str) -> Iterator[tuple[re.Match[str], str]]:
    """Yield each place in a file that repeats the version: the match, and the version there."""
    for pattern in (*ANYWHERE, *BY_NAME.get(path.name, ())):
        for match in re.finditer(pattern.format(f"({VERSION.pattern})"), text):
            yield match, match[1]


def files(root: Path = ROOT) -> Iterator[Path]:
    """Yield the text files under version control, relative to the root."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True).stdout
    for name in listed.decode().rstrip("\0").split("\0"):
        path = root / name
        if path.is_file() and not path.is_symlink() and b"\0" not in path.read_bytes():
            yield Path(name)


def others(root: Path = ROOT) -> list[str]:
    """Return the places that have another version than pyproject.toml, as `file:line: version`."""
    expected = project_version(root)
    return [
        f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {version}"
        for path in files(root)
        for text in [root.joinpath(path).read_text("utf-8", "replace")]
        for match, version in places(path, text)
        if version != expected
    ]


def write(version: str, root: Path = ROOT) -> list[Path]:
    """Write a version to every place, and the digests of the changed manifests; return the changed files."""
    changed = []
    for path in files(root):
        text = replaced = root.joinpath(path).read_bytes().decode("utf-8", "surrogateescape")
        for match, _ in sorted(places(path, text), key=lambda place: place[0].start(), reverse=True):
            replaced = replaced[: match.start(1)] + version + replaced[match.end(1) :]
        if replaced != text:
            root.joinpath(path).write_bytes(replaced.encode("utf-8", "surrogateescape"))
            changed.append(path)
    write_digests(root)
    return changed


def write_digests(root: Path = ROOT) -> None:
    """Write the digests of the manifests that kustomize reads and has rendered."""
    sums = root / DIGESTS
    names = [line.split("  ", 1)[1] for line in sums.read_text().splitlines()]
    sums.write_text("".join(f"{hashlib.sha256((root / name).read_bytes()).hexdigest()}  {name}\n" for name in names))


def write_injected(root: Path = ROOT) -> None:
    """Write the injected manifest of the demo again. Its hash depends on the version, in the rendered overlay too."""
    sys.path.insert(0, str(root / "tests"))
    from kustomize.rendering import INJECT, INJECTED, RENDERED

    command = [sys.executable, "-m", "enforcer", *INJECT, "--quiet"]
    injected = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    old, new = INJECTED.read_text(), injected
    old_hash, new_hash = (re.findall(r'"hash":"(\w+)"', text)[0] for text in (old, new))
    if old.replace(old_hash, new_hash) != new:
        raise ValueError("more than the hash has changed: run make k8s")
    for path in (INJECTED, RENDERED / "sidecar.yaml"):
        path.write_text(path.read_text().replace(old_hash, new_hash))
    write_digests(root)


def main(arguments: list[str]) -> int:
    """Print or write the version."""
    if not arguments:
        print(project_version())
        wrong = others()
        print("".join(f"{place}\n" for place in wrong), end="", file=sys.stderr)
        return 1 if wrong else 0
    (version,) = arguments
    if version == "--injected":
        write_injected()
        return 0
    if not VERSION.fullmatch(version):
        print(f"{version}: expected a version such as 1.2.3 or 1.2.3rc1", file=sys.stderr)
        return 2
    print(f"{version} in {len(write(version))} files")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
