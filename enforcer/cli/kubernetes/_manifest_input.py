"""Input of commands that read manifests: files, folders and standard input."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from enforcer.config.documents.sources import read as read_file
from enforcer.yamltext.documents import Document, ManifestError, read

MAX_BYTES: Final = 64 * 1024**2
"""Size of a file. Bundles of large operators have about 5 MiB; reading `-f /dev/zero` must end."""

_ENDINGS: Final = {".yaml", ".yml", ".json"}

F = TypeVar("F", bound=Callable[..., Any])


def _only_stdin(context: click.Context, parameter: click.Parameter, word: str | None) -> str | None:
    """Return the argument, which can be `-` only: a file without an option may be meant for another one."""
    if word not in (None, "-"):
        raise click.UsageError(f"name a file with an option: -f {word}", context)
    return word


def inputs_options(function: F) -> F:
    """Add the options for the input."""
    text = "File or folder with manifests, or - for standard input. Repeatable."
    stdin = click.argument("stdin", metavar="[-]", required=False, callback=_only_stdin)
    files = click.option("-f", "--filename", "filenames", multiple=True, metavar="FILE", help=text)
    recursive = click.option("-R", "--recursive", is_flag=True, help="Read folders recursively.")
    return stdin(files(recursive(function)))


def read_inputs(stdin: str | None, filenames: Sequence[str], recursive: bool) -> list[Document]:
    """Read all documents; raises ManifestError, and click.UsageError if no input is named."""
    names = [*filenames, *([stdin] if stdin else [])]
    if not names:
        raise click.UsageError("no input; give -f FILE, -f FOLDER, or - for standard input")
    return [document for name in names for document in _documents(name, recursive)]


def _documents(name: str, recursive: bool) -> Iterator[Document]:
    if name == "-":
        yield from read("standard input", _decoded("standard input", sys.stdin.buffer.read(MAX_BYTES + 1)))
    elif "://" in name:
        raise ManifestError(f"{name}: URLs are not supported; download and review the file, then pass it with -f")
    else:
        for path in _files(Path(name), recursive):
            try:
                data = read_file(path, MAX_BYTES)
            except ValueError as error:
                raise ManifestError(f"{path}: {error}") from None
            yield from read(str(path), _decoded(str(path), data))


def _files(path: Path, recursive: bool) -> list[Path]:
    if not path.is_dir():
        return [path]
    entries = path.rglob("*") if recursive else path.glob("*")
    files = sorted(entry for entry in entries if entry.suffix in _ENDINGS and entry.is_file())
    if not files:
        raise ManifestError(f"{path}: this folder contains no manifest (.yaml, .yml, .json)")
    return files


def _decoded(name: str, data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise ManifestError(f"{name}: is larger than {MAX_BYTES} bytes")
    try:
        # Editors on Windows write a byte order mark, which would be a part of the first key.
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestError(f"{name}: the byte 0x{data[error.start]:02X} at {error.start} is not UTF-8") from None
