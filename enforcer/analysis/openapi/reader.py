"""Reads the operations of an OpenAPI document: their methods, paths and requirements.

1. An operation without `security` never becomes public: only `security: []` and `security: [{}]` do.
2. An operation that cannot be read, or that no rule can express, is left out with the cause.
3. Operations with the same method and path, of which OpenAPI allows only one, are one operation with the requirements
   of all. A query and a fragment in a path do not distinguish operations, because rules do not look at them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

from enforcer.analysis.openapi.nodes import CAUSES, Cause, Files, Load, Node, OpenAPIError, show
from enforcer.analysis.openapi.request_paths import PARAMETER
from enforcer.analysis.openapi.security import UNKNOWN, Needs, Security, read_security
from enforcer.policy.rules import UNSERVED, Rule
from enforcer.policy.templates import Path, escaped
from enforcer.wire.fields import HOST, METHODS

_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_OUTSIDE_PATH: Final = re.compile(r"[?#](?![^{}]*\})")
"""The beginning of a query or fragment, outside of a parameter."""
_OPENAPI: Final = re.compile(r"3\.[012]\.[0-9]+(?:-[0-9A-Za-z.-]+)?|3\.[012]")
_ROOT_KEYS: Final = frozenset(
    {
        *("openapi", "$self", "jsonSchemaDialect", "info", "servers", "paths", "webhooks", "components", "security"),
        *("tags", "externalDocs", "swagger", "host", "basePath", "schemes", "consumes", "produces", "definitions"),
        *("parameters", "responses", "securityDefinitions"),
    }
)
_PATH_ITEM_KEYS: Final = frozenset({"summary", "description", "servers", "parameters"})
_OPERATION_KEYS: Final = frozenset(
    {
        *("tags", "summary", "description", "externalDocs", "operationId", "deprecated"),
        *("parameters", "requestBody", "responses", "callbacks", "consumes", "produces"),
        *("security", "servers", "schemes"),
    }
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation under one base path.

    `path` is a rule's path template, `host` its server's or empty; `tag` is the first of its tags, or empty.
    """

    name: str
    tag: str
    method: str
    path: str
    host: str
    needs: Needs
    comments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An operation that no rule was proposed for, and why.

    `label` names it; `methods` and `paths` (templates) are those of its requests, as far as they are known. `needs` is
    its requirement, or None if that is unknown.
    """

    label: str
    methods: tuple[str, ...]
    paths: tuple[str, ...]
    needs: Needs | None
    cause: Cause
    detail: str


@dataclass(frozen=True, slots=True)
class Specification:
    """The operations of a document, and those that were left out."""

    title: str
    operations: tuple[Operation, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True)
class _Document:
    """The parts of a document that apply to all operations. `servers` are of OpenAPI 3, or made from those of 2.0.

    `unknown` are keys that OpenAPI does not have, of which one may be a misspelled `security`.
    """

    version: str
    security: Any
    unknown: str
    schemes: Node
    servers: Node


def read(document: Any, load: Load | None = None) -> Specification:
    """Parse a document; raises OpenAPIError if it is not OpenAPI 2.0 to 3.2.

    `load` reads the files that references lead to. Without it, an operation that is in another file is left out.
    """
    root = Node(document, "", Files(document, load))
    about = _about(root)
    operations: defaultdict[tuple[str, Shape], list[Operation]] = defaultdict(list)
    left_out = []
    for path, value in root.child("paths").mapping().items():
        if path.startswith("x-"):
            continue
        for result in _path_item(about, path, Node(value, root.child("paths").file, root.files)):
            if isinstance(result, LeftOut):
                left_out.append(result)
            else:
                operations[result.method, shape(result.path)].append(result)
    merged = []
    for group in operations.values():
        try:
            merged.append(_merged(group))
        except OpenAPIError as error:
            left_out += [left_out_operation(operation, None, error.cause, str(error)) for operation in group]
    title = root.child("info")
    return Specification(_title(title), tuple(merged), tuple(left_out))


def _about(root: Node) -> _Document:
    try:
        members = root.mapping()
    except OpenAPIError as error:
        raise OpenAPIError(Cause.SHAPE, f"not an OpenAPI document: {error}") from None
    version = members.get("openapi", members.get("swagger"))
    old = "openapi" not in members and str(version) == "2.0"
    if not old and ("swagger" in members or not isinstance(version, str) or not _OPENAPI.fullmatch(version)):
        version_text = f"version {version}" if isinstance(version, str | int | float) else show(version)
        version_text = "both openapi and swagger" if "openapi" in members and "swagger" in members else version_text
        raise OpenAPIError(Cause.SHAPE, f"not OpenAPI 2.0, 3.0, 3.1 or 3.2: found {version_text}")
    if root.child("paths").value is None:
        raise OpenAPIError(Cause.SHAPE, "the document has no paths")
    if old:
        host, base = members.get("host"), members.get("basePath")
        for key, value in (("host", host), ("basePath", base)):
            if value is not None and not isinstance(value, str):
                raise OpenAPIError(Cause.SERVER, f"{key} is {show(value)}")
        url = (f"//{host}" if host else "") + f"/{(base or '').lstrip('/')}"
        servers, schemes = Node([{"url": url}], "", root.files), root.child("securityDefinitions")
    else:
        servers, components = root.child("servers"), root.child("components")
        schemes = components if components.value is None else components.child("securitySchemes")
    unknown = ", ".join(key for key in members if key not in _ROOT_KEYS and not key.startswith("x-"))
    return _Document("2.0" if old else str(version), members.get("security"), unknown, schemes, servers)


def _title(info: Node) -> str:
    title = info.value.get("title") if isinstance(info.value, Mapping) else None
    return title if isinstance(title, str) and title else "an OpenAPI document"


Shape = tuple[tuple[object, ...], bool]
"""A path without the names of its parameters."""


def shape(path: str) -> Shape:
    """Return the shape of a path template."""
    number = iter(range(len(path)))
    parsed = Path.parse(PARAMETER.sub(lambda _: f"{{p{next(number)}}}", path))
    return parsed.segments, parsed.rest


def _merged(operations: list[Operation]) -> Operation:
    """Return operations with one method and path as one; raises OpenAPIError if no rule can require the same."""
    merged, *others = operations
    for other in others:
        comments = dict.fromkeys((*merged.comments, *other.comments))
        merged = replace(merged, needs=merged.needs & other.needs, comments=tuple(comments))
    names = list(dict.fromkeys(operation.name for operation in operations))
    if len(names) == 1:
        return merged
    if len({operation.needs for operation in operations}) > 1:
        note = f"{len(names)} operations of the document have the path, and not the same requirement"
        merged = replace(merged, comments=(*merged.comments, note))
    return replace(merged, name=", ".join(names))


def _path_item(about: _Document, path: str, value: Node) -> Iterator[Operation | LeftOut]:
    """Yield the operations of a path item, each once for each base path of its servers."""
    try:
        item = value.resolved()
        keys = item.mapping()
    except OpenAPIError as error:
        paths = _paths(about.servers, path)
        yield LeftOut(f"all methods of {path}", tuple(sorted(METHODS)), paths, None, error.cause, str(error))
        return
    new = about.version.startswith("3.2")
    for key in keys:
        if key in _METHODS or (new and key == "query"):
            yield from _operation(about, path, key.upper(), item, item)
        elif new and key == "additionalOperations":
            try:
                additional = item.child(key)
                methods = [*additional.mapping()]
            except OpenAPIError as error:
                yield _unreadable(about, path, item, key, error)
                continue
            for method in methods:
                yield from _operation(about, path, method, item, additional)
        elif key not in _PATH_ITEM_KEYS and key != "security" and not key.startswith("x-"):
            yield _unreadable(about, path, item, key, OpenAPIError(Cause.SHAPE, f"unknown key {key} in the path item"))


def _unreadable(about: _Document, path: str, item: Node, key: str, error: OpenAPIError) -> LeftOut:
    methods = with_head(key.upper()) if key.upper() in METHODS else tuple(sorted(METHODS))
    return LeftOut(f"{key} of {path}", methods, _paths(about.servers, path, item), None, error.cause, str(error))


def _operation(about: _Document, path: str, method: str, item: Node, place: Node) -> Iterator[Operation | LeftOut]:
    label, needs, paths = f"{method} {path}", None, _paths(about.servers, path, item)
    try:
        operation = place.child(method if method in place.mapping() else method.lower())
        members = operation.mapping()
        paths = _paths(about.servers, path, item, operation)
        name = _name(members, "")
        label = f"{method} {path} ({name})" if name else label
        security = _security(about, item, members)
        needs = security.needs
        _check_method(method)
        parsed = [
            Operation(name or f"{method} {path}", _tag(members), method, template, host, needs, security.comments)
            for template, host in _templates(_servers(about.servers, item, operation), path)
        ]
        for each in parsed:
            _check(each)
        yield from parsed
    except OpenAPIError as error:
        methods = (method,) if "head" in item.mapping() else with_head(method)
        yield LeftOut(label, methods, paths, needs, error.cause, str(error))


def left_out_operation(operation: Operation, needs: Needs | None, cause: Cause, detail: str) -> LeftOut:
    """Return an operation as left out."""
    label = f"{operation.method} {operation.path} ({operation.name})"
    return LeftOut(label, with_head(operation.method), (operation.path,), needs, cause, detail)


def with_head(method: str) -> tuple[str, ...]:
    """Return the methods of an operation's requests: HEAD is GET without the content (RFC 9110 §9.3.2)."""
    return ("GET", "HEAD") if method == "GET" else (method,)


def summary(left_out: Iterable[LeftOut]) -> list[str]:
    """Return a line for each cause with the number of operations that were left out for it."""
    causes = [each.cause for each in left_out]
    return [f"{causes.count(cause)} left out: {text}" for cause, text in CAUSES.items() if cause in causes]


def _name(members: Mapping[str, Any], default: str) -> str:
    names = (members.get("operationId"), members.get("summary"))
    return next((name for name in names if isinstance(name, str) and name), default)


def _tag(members: Mapping[str, Any]) -> str:
    tags = members.get("tags")
    return next((tag for tag in tags if isinstance(tag, str)), "") if isinstance(tags, list) else ""


def _check_method(method: str) -> None:
    if method not in METHODS or method.encode() in UNSERVED:
        raise OpenAPIError(Cause.METHOD, f"no rule can match the method {method}")


def _security(about: _Document, item: Node, members: Mapping[str, Any]) -> Security:
    """Read what an operation requires; raises OpenAPIError."""
    # An unknown key may be a misspelled `security`, without which the operation would inherit the document's.
    if unknown := [key for key in members if key not in _OPERATION_KEYS and not key.startswith("x-")]:
        raise OpenAPIError(Cause.SHAPE, f"unknown key {', '.join(unknown)} in the operation")
    security = members.get("security")
    if security is None:
        if item.mapping().get("security") is not None:
            raise OpenAPIError(Cause.SECURITY, "the path item has security, which OpenAPI has only in operations")
        security = about.security
    if security is None and about.unknown:
        raise OpenAPIError(Cause.SECURITY, f"the document has no security, but an unknown key: {about.unknown}")
    return UNKNOWN if security is None else read_security(security, about.schemes)


def _servers(default: Node, *levels: Node) -> dict[str, str]:
    """Return the host by base path of the servers of the innermost level that has some; raises OpenAPIError."""
    servers = default
    for level in levels:
        own = level.child("servers")
        servers = own if own.value else servers
    if servers.value is None or servers.value == []:
        return {"": ""}
    if not isinstance(servers.value, list):
        raise OpenAPIError(Cause.SERVER, f"servers is {show(servers.value)}, not a list")
    hosts: dict[str, str] = {}
    for value in servers.value:
        base, host = _base(Node(value, servers.file, servers.files).resolved())
        hosts.setdefault(base, host)
    return hosts


def _base(server: Node) -> tuple[str, str]:
    """Return a server's base path and host, with the defaults of its variables."""
    members = server.mapping()
    url = members.get("url")
    if not isinstance(url, str):
        raise OpenAPIError(Cause.SERVER, f"the URL of a server is {show(url)}")
    variables = server.child("variables")

    def default(match: re.Match[str]) -> str:
        variable = variables if variables.value is None else variables.child(match[1])
        value = None if variable.value is None else variable.mapping().get("default")
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise OpenAPIError(Cause.SERVER, f"the server's variable {match[1]} has no default")
        return str(value)

    try:
        parts = urlsplit(PARAMETER.sub(default, url))
    except ValueError as error:
        raise OpenAPIError(Cause.SERVER, f"the URL of a server: {error}") from None
    path, host = parts.path.strip("/"), parts.netloc.rpartition("@")[2]
    return f"/{path}" if path else "", host if HOST.fullmatch(host.encode()) else ""


def _paths(servers: Node, path: str, *levels: Node) -> tuple[str, ...]:
    """Return the path below each base path, of the innermost level whose servers can be read."""
    try:
        bases = _servers(servers, *levels)
    except OpenAPIError:
        if levels:
            return _paths(servers, path, *levels[:-1])
        bases = {"": ""}
    bare = _OUTSIDE_PATH.split(path, 1)[0]
    return tuple(f"{base}{bare}" if bare.startswith("/") else f"{base}/{bare}" for base in bases)


def _templates(servers: Mapping[str, str], path: str) -> Iterator[tuple[str, str]]:
    """Yield the path as a rule's template below each base path, with the server's host."""
    if not path.startswith("/"):
        raise OpenAPIError(Cause.PATH, "a path begins with /")
    bare = _OUTSIDE_PATH.split(path, 1)[0]
    for base, host in servers.items():
        names: set[str] = set()
        yield PARAMETER.sub(lambda match: f"{{{_parameter(match[1], names)}}}", base + bare), host  # noqa: B023


def _parameter(name: str, taken: set[str]) -> str:
    """Return a parameter's name as a valid and unique name in a rule."""
    name = re.sub("[^A-Za-z0-9_]", "_", name)
    name = f"_{name}" if name[0].isdigit() else name
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _check(operation: Operation) -> None:
    """Raise OpenAPIError if no rule can express the operation."""
    try:
        path = Path.parse(operation.path)
    except ValueError as error:
        raise OpenAPIError(Cause.PATH, str(error)) from None
    if path.rest:
        raise OpenAPIError(Cause.PATH, "** is the rest of the path in a rule, and only text in OpenAPI")
    rule_of("operation", [operation])


def rule_of(name: str, operations: list[Operation]) -> Rule:
    """Return the rule of operations with equal requirement and methods; raises OpenAPIError if it is not valid."""
    needs = operations[0].needs
    paths = tuple(dict.fromkeys(operation.path for operation in operations))
    try:
        return Rule(
            name=name,
            path=paths[0] if len(paths) == 1 else None,
            paths=paths if len(paths) > 1 else (),
            methods=tuple(dict.fromkeys(operation.method for operation in operations)),
            public=needs.public,
            authenticated=not (needs.public or needs.scopes or needs.any_scope),
            scopes=tuple(map(escaped, needs.scopes)),
            any_scope=tuple(map(escaped, needs.any_scope)),
        )
    except ValueError as error:
        raise OpenAPIError(Cause.SHAPE, str(error)) from None
