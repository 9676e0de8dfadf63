"""The files with rules beside a configuration: which there are, and what they say.

1. A folder or a pattern means the files that are in it now, by name; what begins with a dot is none of them. A
   ConfigMap is mounted as a folder with `..data` beside links to its files.
2. What cannot be read is one problem, and the others are read all the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from enforcer.config.document import Document, parse, show
from enforcer.config.sources import Sources, read
from enforcer.errors import ConfigError, Problem

MOST_BYTES: Final = 16 * 1024**2
"""Size of a configuration at most, all its files together: some 100,000 rules. Bounds memory and the time of a
reload."""

_ENDINGS: Final = (".yaml", ".yml")
_WILD: Final = frozenset("*?[")


class RuleFiles:
    """The files that a configuration names. `documents` are those that could be read, `data` the bytes of all."""

    def __init__(self, main: Document, path: Path, size: int, sources: Sources) -> None:
        self.documents: list[Document] = []
        self.data: list[bytes] = []
        self.problems: list[Problem] = []
        self._sources = sources
        self._left = MOST_BYTES - size
        self._known = {path.absolute()}
        entries = main.values.get("rule_files")
        for at, entry in enumerate(entries if isinstance(entries, list) else ()):
            if isinstance(entry, str) and entry:
                try:
                    for file in self._find(path.parent / entry):
                        self._read(file)
                except ValueError as error:
                    self.problems.append(main.problem(("rule_files", at), str(error)))

    def _find(self, entry: Path) -> list[Path]:
        """Return the files that an entry means; raises ValueError where it means none."""
        if _WILD & set(str(entry.parent)):
            raise ValueError("a pattern is in the name of the file alone, as in rules/*.yaml")
        pattern = entry.name if _WILD & set(entry.name) else None
        if pattern is None and not entry.is_dir():
            return [entry]
        folder = entry if pattern is None else entry.parent
        found = sorted(
            folder / name
            for name in self._listed(folder)
            if (name.endswith(_ENDINGS) if pattern is None else fnmatchcase(name, pattern))
        )
        files = [file for file in found if file.is_file() and file.absolute() not in self._known]
        if not files:
            raise ValueError("it means no file: none is there, or each is one of the configuration's already")
        return files

    def _listed(self, folder: Path) -> Iterator[str]:
        try:
            yield from (name for name in os.listdir(self._sources.note(folder)) if not name.startswith("."))
        except OSError as error:
            raise ValueError(f"{show(str(folder))} cannot be read: {error.strerror}") from None

    def _read(self, file: Path) -> None:
        if file.absolute() in self._known:
            raise ValueError(f"{show(str(file))} is one of the configuration's files already")
        self._known.add(file.absolute())
        try:
            data = read(self._sources.note(file), self._left)
        except ValueError as error:
            raise ValueError(f"{show(str(file))} {error}") from None
        self._left -= len(data)
        self.data.append(data)
        try:
            document = parse(str(file), data)
        except ConfigError as error:
            self.problems += error.problems
            return
        self.documents.append(document)
        for key in document.values:
            if key != "rules":
                message = f"unknown key {show(key)}; a file of rules has `rules` alone"
                self.problems.append(document.problem((), message, key=key))
        rules = document.values.get("rules")
        if "rules" not in document.values:
            self.problems.append(document.problem((), 'missing key "rules": all that a file of rules has'))
        elif not isinstance(rules, list):
            self.problems.append(document.problem(("rules",), f"expected a list, found {show(rules)}"))
