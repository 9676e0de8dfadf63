"""Reads what an OpenAPI document allows, apart from the importer: its own paths, references and `security`.

The importer may refuse more than the document, but must never allow a request that this module refuses.

1. A request that no operation matches is refused. Of several that match its method and path, the more concrete ones
   count, and it is enough that one allows the request (OpenAPI leaves the choice open), except that all of them must
   allow it that have no rule (`without_rule`). HEAD is GET without content.
2. An operation that does not say what it requires, or requires only other credentials than a bearer token, needs some
   token.
3. A credential beside a bearer token, such as an API key, is assumed to be there: no rule looks at it.
4. Anything of an unexpected type refuses.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Any
from urllib.parse import unquote, urlsplit

_METHODS = {"GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"}
_BEARER = {"oauth2", "openIdConnect"}
_ANY = "\0"
_VALUE = "sample0"


class Oracle:
    """The requests that a document allows. `requests` are request targets with the operation that they are for.

    `without_rule` are methods and paths, in which `{}` is a parameter.
    """

    def __init__(self, document: dict[str, Any], without_rule: Iterable[tuple[str, str]] = ()) -> None:
        self._document = document
        self._without_rule = {*without_rule}
        self._old = "swagger" in document
        components = document.get("components") or {}
        self._schemes = document.get("securityDefinitions") if self._old else components.get("securitySchemes")
        # By number of segments and first literal; operations with a first segment that varies are under None.
        self._by_beginning: defaultdict[tuple[int, str | None], list[_Template]] = defaultdict(list)
        self.requests: list[tuple[str, str, dict[str, Any]]] = []
        for path, item in document["paths"].items():
            item = self._resolve(item)
            for method, operation in item.items() if isinstance(item, dict) else ():
                if method.upper() in _METHODS:
                    self._add(path, method.upper(), item, operation)

    def _add(self, path: str, method: str, item: dict[str, Any], operation: Any) -> None:
        operation = self._resolve(operation)
        members = operation if isinstance(operation, dict) else {"security": "unreadable"}
        for base in self._bases(item, members):
            template = _Template(base + re.split(r"[?#](?![^{}]*\})", path)[0], method, members)
            self.requests.append((method, template.sample, members))
            self._by_beginning[template.length, template.beginning].append(template)

    def crossings(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Yield a request for each operation and path of another one that it crosses."""
        by_length: defaultdict[int, dict[str, list[_Template]]] = defaultdict(dict)
        for templates in self._by_beginning.values():
            for each in templates:
                by_length[each.length].setdefault(without_names(each.path), []).append(each)
        for paths in by_length.values():
            for ones, others in combinations(paths.values(), 2):
                path = ones[0].crossing(others[0])
                if path is not None:
                    yield from ((each.method, path, each.operation) for each in (*ones, *others))

    def allows(self, method: str, path: str, scopes: set[str] | None) -> bool:
        """Return whether the document allows a request with a token of these scopes; None: without a token."""
        segments = path.split("/")[1:]
        beginnings = {segments[0], None}
        templates = [
            template
            for beginning in beginnings
            for template in self._by_beginning[len(segments), beginning]
            if template.pattern.fullmatch(path)
        ]
        methods = {method, "GET"} if method == "HEAD" else {method}
        templates = [each for each in templates if each.method in methods]
        # AWS's documents have hundreds of operations with one path: compare each path once.
        shapes = list({each.segments: each for each in templates}.values())
        wider = {each.segments for each in shapes if any(other.is_more_concrete(each) for other in shapes)}
        concrete = [each for each in templates if each.segments not in wider]
        # GET stands for HEAD only at a path that has no HEAD of its own; another path that matches may still do so.
        exact = {each.segments for each in concrete if each.method == method}
        own = [each for each in concrete if each.method == method or each.segments not in exact]
        strict = [each for each in own if (each.method, without_names(each.path)) in self._without_rule]
        if strict:
            return all(self._accepts(each.operation, scopes) for each in strict)
        return any(self._accepts(each.operation, scopes) for each in own)

    def _accepts(self, operation: dict[str, Any], scopes: set[str] | None) -> bool:
        security = operation.get("security")
        if security is None:
            security = self._document.get("security")
        if security is None:
            return scopes is not None
        if not isinstance(security, list):
            return False
        if not all(isinstance(alternative, dict) for alternative in security):
            return False
        if all(not alternative for alternative in security):
            return True
        return any(self._meets(alternative, scopes) for alternative in security)

    def _meets(self, alternative: dict[str, Any], scopes: set[str] | None) -> bool:
        if scopes is None:
            return not alternative
        for name, needed in alternative.items():
            scheme = self._resolve((self._schemes or {}).get(name))
            if not isinstance(scheme, dict) or not isinstance(needed, list):
                return False
            bearer = scheme["type"] in _BEARER or str(scheme.get("scheme")).lower() == "bearer"
            if bearer and not all(isinstance(scope, str) and scope in scopes for scope in needed):
                return False
        return True

    def _bases(self, item: dict[str, Any], operation: dict[str, Any]) -> Iterator[str]:
        if self._old:
            yield (self._document.get("basePath") or "").rstrip("/")
            return
        servers = operation.get("servers") or item.get("servers") or self._document.get("servers") or [{"url": ""}]
        bases = set()
        for server in servers:
            variables = server.get("variables") or {}
            url = server["url"]
            for name, variable in variables.items():
                url = url.replace(f"{{{name}}}", str(variable.get("default")))
            try:
                bases.add(("/" + urlsplit(url).path.strip("/")).rstrip("/"))
            except ValueError:
                continue
        yield from bases

    def _resolve(self, value: Any) -> Any:
        for _ in range(9):
            if not isinstance(value, dict) or not isinstance(value.get("$ref"), str):
                return value
            reference, value = value["$ref"], self._document
            if not reference.startswith("#/"):
                return None
            for step in reference[2:].split("/"):
                value = value.get(unquote(step).replace("~1", "/").replace("~0", "~"), {})
        return None


class _Template:
    """A path template with the operation of one method."""

    def __init__(self, path: str, method: str, operation: dict[str, Any]) -> None:
        self.method, self.path, self.operation = method, path, operation
        segments = path.split("/")[1:]
        self.length = len(segments)
        self.beginning = None if not segments or "{" in segments[0] else segments[0]
        parts = re.split(r"(\{[^{}/]+\})", path)
        self.sample = "".join(_VALUE if part.startswith("{") else part for part in parts)
        self.pattern = re.compile("".join("[^/]+" if part.startswith("{") else re.escape(part) for part in parts))
        self.segments = tuple(map(without_names, segments))
        # A parameter as a character that stands for all others.
        self.general = "".join(_ANY if part.startswith("{") else part for part in parts)

    def is_more_concrete(self, other: _Template) -> bool:
        """Return whether the other template matches all paths that this one does, and more."""
        return bool(other.pattern.fullmatch(self.general)) and not self.pattern.fullmatch(other.general)

    def crossing(self, other: _Template) -> str | None:
        """Return a path that both match; None if there is none, or if one of them is more concrete."""
        common = []
        for mine, theirs in zip(self.segments, other.segments, strict=True):
            if "{}" not in mine and "{}" not in theirs and mine != theirs:
                return None
            fixed = [segment for segment in (mine, theirs) if "{}" not in segment]
            beginning = max((each.partition("{}")[0] for each in (mine, theirs)), key=len)
            end = max((each.rpartition("{}")[2] for each in (mine, theirs)), key=len)
            common.append(fixed[0] if fixed else beginning + _VALUE + end)
        path = "/" + "/".join(common)
        both = self.pattern.fullmatch(path) and other.pattern.fullmatch(path)
        return path if both and not self.is_more_concrete(other) and not other.is_more_concrete(self) else None


def without_names(path: str) -> str:
    """Return a path with `{}` for each parameter."""
    return re.sub(r"\{[^{}]+\}", "{}", path)
