"""What a configuration names and does not hold: secrets, and files beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from enforcer.config.document import show
from enforcer.secret import Secret
from enforcer.settings.external import File

MOST_BYTES: Final = 1024**2
"""Size of a file at most; a bundle of all public authorities has 200 KiB. `{file: /dev/zero}` must end."""


Signature = tuple[int, ...] | None
"""As what a path is found: which file, of which size, written and changed when; None where there is nothing."""

Files = dict[Path, Signature]
"""Files and folders, by their absolute paths."""


def signature(path: Path) -> Signature:
    """Tell as what a path is found, without reading it: another file, or another content, has another signature."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@dataclass(slots=True)
class Sources:
    """Where to look, and in `files` what was looked at. Without an environment, secrets are left where they are."""

    folder: Path
    environment: Mapping[str, str] | None
    files: Files = field(default_factory=dict)

    def note(self, path: Path) -> Path:
        """Note as what a file or folder is found, which is read next; a change from now on can be told."""
        self.files.setdefault(path.absolute(), signature(path))
        return path

    def file(self, name: object) -> File:
        """Find a file that can be read; raises ValueError."""
        if not isinstance(name, str):
            raise ValueError("expected the path of a file")  # noqa: TRY004 - pydantic collects ValueErrors
        path, data = self._read(name)
        return File(path.absolute(), sha256(data).digest())

    def secret(self, place: object) -> Secret:
        """Fetch a secret from its place; raises ValueError, which never shows what was found there."""
        match place:
            case {"file": _, "env": _}:
                raise ValueError("a secret is kept in one place: either {file: path} or {env: NAME}")
            case {"file": str(), **others} | {"env": str(), **others} if not others and self.environment is None:
                return Secret("")
            case {"file": str(name), **others} if not others:
                path, data = self._read(name)
                return _secret(data, show(str(path)))
            case {"env": str(name), **others} if not others:
                return self._variable(name)
            case dict() | list() | None:
                raise ValueError("expected {file: path} or {env: NAME}")
            case _:
                raise ValueError("secrets are never written here: say where it is kept, {file: path} or {env: NAME}")

    def text(self, value: object) -> str:
        """Return a text that is written, or fetch it from its place; raises ValueError."""
        if isinstance(value, str) and value:
            return value
        if isinstance(value, dict):
            return self.secret(value).reveal()
        raise ValueError("expected text, {file: path} or {env: NAME}")

    def _variable(self, name: str) -> Secret:
        environment = self.environment or {}
        where = f"the environment variable {show(name)}"
        if name in environment:
            return _secret(environment[name].encode("utf-8", "surrogateescape"), where)
        # As containers have it: a secret is mounted as a file, and the variable says where.
        if file := environment.get(f"{name}_FILE"):
            path, data = self._read(file)
            return _secret(data, show(str(path)))
        raise ValueError(f"{where} is not set")

    def _read(self, name: str) -> tuple[Path, bytes]:
        path = self.note(self.folder / name)
        try:
            return path, read(path, MOST_BYTES)
        except ValueError as error:
            raise ValueError(f"{show(str(path))} {error}") from None


def read(path: Path, most: int) -> bytes:
    """Read a file of at most so many bytes; raises ValueError saying why it cannot be, without its path."""
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except ValueError:
        raise ValueError("cannot be read: no file has such a name") from None
    if len(data) > most:
        raise ValueError(f"is larger than {most} bytes")
    return data


def _secret(data: bytes, place: str) -> Secret:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{place} is not UTF-8 text") from None
    # Editors and `echo` end a file with one line break; more than one is meant.
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise ValueError(f"{place} is empty")
    return Secret(text)
