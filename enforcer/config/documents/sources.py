"""Reads what a configuration names but does not contain: secrets and files. Notes each file, to detect changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from enforcer.config.documents.document import show
from enforcer.secret import Secret
from enforcer.settings.external import File

MAX_BYTES: Final = 1024**2
"""Maximum size of a file, so that `{file: /dev/zero}` ends; a bundle of all public authorities has 200 KiB."""

Signature = tuple[int, ...] | None
"""The identity of a version of a file: device, inode, size and times; None if there is no file."""

Files = dict[Path, Signature]
"""Files and folders, by their absolute paths."""


def signature(path: Path) -> Signature:
    """Return the signature of a file or folder, without reading it: a changed or replaced one has another signature."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@dataclass(slots=True)
class Sources:
    """The validation context of a configuration. `files` collects what was read.

    Without an environment, secrets are not read and are empty, and files of TLS may be missing.
    """

    folder: Path
    environment: Mapping[str, str] | None
    files: Files = field(default_factory=dict)

    def note(self, path: Path) -> Path:
        """Note the signature of a file or folder before it is read, so that any later change is detected."""
        self.files.setdefault(path.absolute(), signature(path))
        return path

    def file(self, name: object) -> File:
        """Return a file after checking that it can be read; raises ValueError."""
        if not isinstance(name, str):
            raise ValueError("expected the path of a file")  # noqa: TRY004 - pydantic collects ValueErrors
        if self.environment is None and signature(self.folder / name) is None:
            return File((self.folder / name).absolute(), b"")
        path, data = self._read(name)
        return File(path.absolute(), sha256(data).digest())

    def secret(self, place: object) -> Secret:
        """Return the secret stored at a place; raises ValueError, which never shows the content."""
        match place:
            case {"file": _, "env": _}:
                raise ValueError("a secret has one place: either {file: path} or {env: NAME}")
            case {"file": str(), **others} | {"env": str(), **others} if not others and self.environment is None:
                return Secret("")
            case {"file": str(name), **others} if not others:
                return self._secret_file(name)
            case {"env": str(name), **others} if not others:
                return self._variable(name)
            case dict() | list() | None:
                raise ValueError("expected {file: path} or {env: NAME}")
            case _:
                raise ValueError("a secret is never written here: name its place, {file: path} or {env: NAME}")

    def text(self, value: object) -> str:
        """Return a text, given literally or by its place; raises ValueError."""
        if isinstance(value, str) and value:
            return value
        if isinstance(value, dict):
            return self.secret(value).reveal()
        raise ValueError("expected text, {file: path} or {env: NAME}")

    def _variable(self, name: str) -> Secret:
        environment = self.environment or {}
        description = f"the environment variable {show(name)}"
        if name in environment:
            return _secret(environment[name].encode("utf-8", "surrogateescape"), description)
        # A convention of container images: the secret is mounted as a file, and NAME_FILE holds its path.
        if file := environment.get(f"{name}_FILE"):
            return self._secret_file(file)
        raise ValueError(f"{description} is not set")

    def _secret_file(self, name: str) -> Secret:
        path, data = self._read(name)
        return _secret(data, show(str(path)))

    def _read(self, name: str) -> tuple[Path, bytes]:
        path = self.note(self.folder / name)
        try:
            return path, read(path, MAX_BYTES)
        except ValueError as error:
            raise ValueError(f"{show(str(path))} {error}") from None


def read(path: Path, max_bytes: int) -> bytes:
    """Return a file's content; raises ValueError with the reason, without the path, if it is larger or unreadable."""
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except ValueError:
        raise ValueError("cannot be read: not a valid file name") from None
    if len(data) > max_bytes:
        raise ValueError(f"is larger than {max_bytes} bytes")
    return data


def _secret(data: bytes, place: str) -> Secret:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{place} is not UTF-8 text") from None
    # Editors and `echo` end a file with one line break. Further ones belong to the secret.
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise ValueError(f"{place} is empty")
    return Secret(text)
