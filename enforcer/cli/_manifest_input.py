"""Where a command reads manifests from: files, folders, and standard input."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from enforcer.config.sources import read as read_file
from enforcer.yamltext.documents import Document, ManifestError, read

MOST_BYTES: Final = 64 * 1024**2
"""Bytes of a file at most. The definitions of large operators have some 5 MiB; `-f /dev/zero` must end."""

_ENDINGS: Final = {".yaml", ".yml", ".json"}

F = TypeVar("F", bound=Callable[..., Any])


def inputs_options(function: F) -> F:
    """Add what says where manifests are."""
    decorators = (
        click.argument("stdin", metavar="[-]", required=False, type=click.Choice(["-"])),
        click.option(
            "-f",
            "--filename",
            "filenames",
            multiple=True,
            metavar="FILE",
            help="File or folder with manifests, or - for standard input. May stand often.",
        ),
        click.option("-R", "--recursive", is_flag=True, help="Read the folders in a folder, too."),
    )
    for decorate in reversed(decorators):
        function = decorate(function)
    return function


def read_inputs(stdin: str | None, filenames: Sequence[str], recursive: bool) -> list[Document]:
    """Read all documents; raises ManifestError, and click.UsageError where nothing is named."""
    wanted = [*filenames, *([stdin] if stdin else [])]
    if not wanted:
        raise click.UsageError("name what to read: -f FILE, -f FOLDER, or - for standard input")
    return [document for name in wanted for document in _documents(name, recursive)]


def _documents(name: str, recursive: bool) -> Iterator[Document]:
    if name == "-":
        yield from read("standard input", _decoded("standard input", sys.stdin.buffer.read(MOST_BYTES + 1)))
    elif "://" in name:
        raise ManifestError(f"{name}: a URL is not read here; fetch it, look at it, and give it as a file")
    else:
        for path in _files(Path(name), recursive):
            try:
                data = read_file(path, MOST_BYTES)
            except ValueError as error:
                raise ManifestError(f"{path}: {error}") from None
            yield from read(str(path), _decoded(str(path), data))


def _files(path: Path, recursive: bool) -> list[Path]:
    if not path.is_dir():
        return [path]
    inside = path.rglob("*") if recursive else path.glob("*")
    found = sorted(one for one in inside if one.suffix in _ENDINGS and one.is_file())
    if not found:
        raise ManifestError(f"{path}: there is no manifest (.yaml, .yml, .json) in this folder")
    return found


def _decoded(name: str, data: bytes) -> str:
    if len(data) > MOST_BYTES:
        raise ManifestError(f"{name}: is larger than {MOST_BYTES} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ManifestError(f"{name}: the byte 0x{data[error.start]:02X} at {error.start} is not UTF-8") from None
