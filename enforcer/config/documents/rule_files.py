"""Finds and reads the rule files that a configuration names.

1. A folder or pattern stands for the files in it at the time of reading, in order of name. Names that begin with a dot
   are skipped, because a mounted ConfigMap is a folder with `..data` beside links to its files.
2. A file that cannot be read is one error; the others are read nevertheless.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from enforcer.config.documents.document import MAX_VALUES, Document, parse, show
from enforcer.config.documents.sources import Sources, read
from enforcer.errors import ConfigError, Problem

MAX_BYTES: Final = 16 * 1024**2
"""Maximum size of a configuration, all its files together. Bounds memory and reload time."""
MAX_FILES: Final = 4000
"""Maximum number of files of a configuration. Bounds memory and reload time."""

_SUFFIXES: Final = (".yaml", ".yml")
_WILDCARDS: Final = frozenset("*?[")


class RuleFiles:
    """The rule files of a configuration: `documents` are those that could be parsed, `data` the bytes of all."""

    def __init__(self, main: Document, path: Path, size: int, sources: Sources) -> None:
        self.documents: list[Document] = []
        self.data: list[bytes] = []
        self.problems: list[Problem] = []
        self._sources = sources
        self._bytes_left = MAX_BYTES - size
        self._values_left = MAX_VALUES - main.count
        self._known = {path.absolute()}
        entries = main.values.get("rule_files")
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            if isinstance(entry, str) and entry:
                try:
                    for file in self._find(path.parent / entry):
                        self._read(file)
                except ValueError as error:
                    self.problems.append(main.problem(("rule_files", index), str(error)))

    def _find(self, entry: Path) -> list[Path]:
        """Return the files that an entry stands for; raises ValueError if there are none."""
        if _WILDCARDS & set(str(entry.parent)):
            raise ValueError("only the name of the file may be a pattern, as in rules/*.yaml")
        pattern = entry.name if _WILDCARDS & set(entry.name) else None
        if pattern is None and not entry.is_dir():
            return [entry]
        folder = entry if pattern is None else entry.parent
        matches = sorted(
            folder / name
            for name in self._list(folder)
            if (name.endswith(_SUFFIXES) if pattern is None else fnmatchcase(name, pattern))
        )
        files = [file for file in matches if file.is_file() and file.absolute() not in self._known]
        if not files:
            raise ValueError("matches no file, or only files that the configuration already includes")
        return files

    def _list(self, folder: Path) -> Iterator[str]:
        try:
            yield from (name for name in os.listdir(self._sources.note(folder)) if not name.startswith("."))
        except OSError as error:
            raise ValueError(f"{show(str(folder))} cannot be read: {error.strerror}") from None

    def _read(self, file: Path) -> None:
        if file.absolute() in self._known:
            raise ValueError(f"the configuration already includes {show(str(file))}")
        if len(self._known) >= MAX_FILES:
            raise ValueError(f"the configuration has more than {MAX_FILES} files")
        self._known.add(file.absolute())
        try:
            data = read(self._sources.note(file), self._bytes_left)
        except ValueError as error:
            raise ValueError(f"{show(str(file))} {error}") from None
        self._bytes_left -= len(data)
        self.data.append(data)
        try:
            document = parse(str(file), data, self._values_left)
        except ConfigError as error:
            self.problems += error.problems
            return
        self._values_left -= document.count
        self.documents.append(document)
        for key in document.values:
            if key not in ("rules", "rule_defaults"):
                message = f"unknown key {show(key)}; a rule file has only `rules` and `rule_defaults`"
                self.problems.append(document.problem((), message, key=key))
        rules = document.values.get("rules")
        if "rules" not in document.values:
            self.problems.append(document.problem((), 'missing key "rules" of a rule file'))
        elif not isinstance(rules, list):
            self.problems.append(document.problem(("rules",), f"expected a list, found {show(rules)}"))
