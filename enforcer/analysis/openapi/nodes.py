"""Values of an OpenAPI document, with their references followed.

1. A value of another type than expected is an error, never an empty one.
2. References lead to places in the document, or in files of its folder: never to a URL, and never out of the folder.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import unquote, urlsplit

MAX_FILES: Final = 10_000
"""Maximum number of files that references lead to. DigitalOcean's document has 3,000. Bounds memory."""
_MAX_CHAIN: Final = 8
"""Maximum number of references that lead to each other."""
_BESIDE_REFERENCE: Final = frozenset({"$ref", "summary", "description", "parameters"})


class Cause(StrEnum):
    """Why an operation was left out."""

    PATH = "path"
    METHOD = "method"
    SERVER = "server"
    SECURITY = "security"
    NEEDS = "needs"
    REFERENCE = "reference"
    SHAPE = "shape"
    WEAKER = "weaker"


CAUSES: Final = {
    Cause.PATH: "no rule can have the path",
    Cause.METHOD: "no rule can have the method",
    Cause.SERVER: "the server cannot be read",
    Cause.SECURITY: "security cannot be read",
    Cause.NEEDS: "no rule can require the same",
    Cause.REFERENCE: "a reference cannot be followed",
    Cause.SHAPE: "the operation cannot be read",
    Cause.WEAKER: "its rule would allow requests of an operation that was left out",
}
"""Each cause in words."""


class OpenAPIError(ValueError):
    """A part of a document that is not valid, or that no rule can express."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class DuplicateKey:
    """The value of a key that a mapping has twice, of which parsers choose different ones."""


Load = Callable[[str], Any]
"""Returns the values of a file by its path relative to the folder of the document; raises OpenAPIError."""


class Files:
    """The document, and the files of its folder that references lead to, each read once."""

    def __init__(self, root: Any, load: Load | None) -> None:
        self._load = load
        self._values: dict[str, Any] = {"": root}

    def read(self, file: str) -> Any:
        """Return the values of a file; raises OpenAPIError."""
        if file not in self._values:
            if self._load is None:
                raise OpenAPIError(Cause.REFERENCE, f"a reference leads to another file, {file}")
            if len(self._values) > MAX_FILES:
                raise OpenAPIError(Cause.REFERENCE, f"references lead to more than {MAX_FILES} files")
            self._values[file] = self._load(file)
        return self._values[file]


@dataclass(frozen=True, slots=True)
class Node:
    """A value of the document, and the file that it is in: empty for the document itself."""

    value: Any
    file: str
    files: Files

    def child(self, key: str) -> Node:
        """Return the value of a key with its references followed; its value is None if the key is absent or null."""
        return Node(self.mapping().get(key), self.file, self.files).resolved()

    def mapping(self) -> Mapping[str, Any]:
        """Return the value as a mapping; raises OpenAPIError if it is anything else."""
        if not isinstance(self.value, Mapping):
            raise OpenAPIError(Cause.SHAPE, f"expected a mapping, found {show(self.value)}")
        if "<<" in self.value:
            raise OpenAPIError(Cause.SHAPE, "a YAML merge key (<<), which OpenAPI does not have")
        for key in self.value:
            if not isinstance(key, str):
                raise OpenAPIError(Cause.SHAPE, f"a key of a mapping is {show(key)}")
        return self.value

    def resolved(self, chain: int = 0) -> Node:
        """Follow references (RFC 6901) until there is none; raises OpenAPIError if that is impossible."""
        if not isinstance(self.value, Mapping) or "$ref" not in self.value:
            return self
        reference = self.value["$ref"]
        if not isinstance(reference, str):
            raise OpenAPIError(Cause.REFERENCE, f"a reference is {show(reference)}")
        if chain >= _MAX_CHAIN:
            raise OpenAPIError(Cause.REFERENCE, f"too long a chain of references: {reference}")
        beside = [key for key in self.mapping() if key not in _BESIDE_REFERENCE and not key.startswith("x-")]
        if beside:
            raise OpenAPIError(Cause.REFERENCE, f"beside the reference {reference} there is {', '.join(beside)}")
        return self._follow(reference, chain + 1)

    def _follow(self, reference: str, chain: int) -> Node:
        url, _, pointer = reference.partition("#")
        file = self._file(url) if url else self.file
        node = Node(self.files.read(file), file, self.files).resolved(chain)
        if pointer and not pointer.startswith("/"):
            raise OpenAPIError(Cause.REFERENCE, f"the reference {reference} is not a JSON pointer")
        for step in pointer.split("/")[1:]:
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            if not isinstance(node.value, Mapping) or key not in node.value:
                raise OpenAPIError(Cause.REFERENCE, f"the reference {reference} leads nowhere")
            node = Node(node.value[key], node.file, self.files).resolved(chain)
        return node

    def _file(self, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme or parts.netloc or parts.query or url.startswith(("/", "\\")):
            raise OpenAPIError(Cause.REFERENCE, f"the reference {url} does not lead to a file beside the document")
        file = posixpath.normpath(posixpath.join(posixpath.dirname(self.file), unquote(url)))
        if file == ".." or file.startswith("../"):
            raise OpenAPIError(Cause.REFERENCE, f"the reference {url} leads out of the document's folder")
        return file


def show(value: Any) -> str:
    """Return the kind of a value in words."""
    if isinstance(value, DuplicateKey):
        return "a duplicate key"
    if value is None:
        return "nothing"
    kinds: tuple[tuple[type, str], ...] = ((str, "a text"), (list, "a list"), (Mapping, "a mapping"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "a number or a truth value")
