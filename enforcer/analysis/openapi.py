"""Proposes rules from an OpenAPI document (3.0, 3.1): its paths, methods, and the scopes of `security`.

1. An operation without `security` never becomes public: only `security: []` and `security: [{}]` do.
2. Of alternatives, those that a bearer token can meet count. Other conditions are left out and reported.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import count
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from enforcer.analysis.evaluator import Policy, PolicyRequest, PolicyRule
from enforcer.analysis.rule_yaml import Proposal, unique_name
from enforcer.policy.rules import Path, Rule
from enforcer.wire.fields import HOST

_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_PARAMETER: Final = re.compile(r"\{([^{}/]+)\}")
_UNQUOTED: Final = "!$&'()*+,=:@~%"
_REFERENCES: Final = 8  # maximum length of a chain


class OpenAPIError(ValueError):
    """A part of a document that is not valid, or that no rule can express."""


@dataclass(frozen=True, slots=True)
class Needs:
    """The requirement of an operation: nothing (`public`), or a token with all of `scopes` and one of `any_scope`."""

    public: bool = False
    scopes: tuple[str, ...] = ()
    any_scope: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation under one base path; `path` is a rule's path template, `host` its server's or empty."""

    name: str
    method: str
    path: str
    host: str
    needs: Needs
    comment: str


@dataclass(frozen=True, slots=True)
class Specification:
    """The operations of a document; `left_out` are lines that name what no rule can express."""

    title: str
    operations: tuple[Operation, ...]
    left_out: tuple[str, ...]


def read(document: Any) -> Specification:
    """Parse a document; raises OpenAPIError if it is not OpenAPI 3.0 or 3.1."""
    root = _mapping(document)
    version = str(root.get("openapi", "nothing"))
    if not re.fullmatch(r"3\.[01](\.[0-9]+)?", version):
        raise OpenAPIError(f"not OpenAPI 3.0 or 3.1: it has openapi: {version}")
    operations: dict[tuple[str, Shape], Operation] = {}
    left_out = []
    for path, item in _mapping(root.get("paths")).items():
        for method in _METHODS:
            label = f"{method.upper()} {path}"
            try:
                parsed = [*_operations(root, str(path), method, item)]
            except ValueError as error:
                left_out.append(f"{label}: {error}")
                continue
            first = [operations.setdefault((method, _shape(operation.path)), operation) for operation in parsed]
            left_out += [f"{label}: the same path as {other.path}" for other in first if other not in parsed]
    title = str(_mapping(root.get("info")).get("title", "an OpenAPI document"))
    return Specification(title, tuple(operations.values()), tuple(left_out))


Shape = tuple[tuple[bytes | None, ...], bool]
"""A path without the names of its parameters."""


def _shape(path: str) -> Shape:
    parsed = Path.parse(path)
    return parsed.segments, parsed.rest


def _operations(root: Mapping[str, Any], path: str, method: str, value: Any) -> Iterator[Operation]:
    """Yield the operation of a path item, if it has one, once for each base path of its servers.

    Raises ValueError if no rule can express it.
    """
    item = _resolved(root, value)
    if method not in item:
        return
    operation = _mapping(item[method])
    levels = (operation, item, root)
    servers = next((level["servers"] for level in levels if level.get("servers")), [{"url": "/"}])
    security = next((level["security"] for level in levels if level.get("security") is not None), None)
    needs, comment = _needs(security, root)
    name = str(operation.get("operationId") or operation.get("summary") or f"{method.upper()} {path}")
    hosts: dict[str, str] = {}
    for server in _list(servers):
        base, host = _base(_mapping(server))
        hosts.setdefault(base, host)
    for base, host in hosts.items():
        parsed = Operation(name, method.upper(), _template(base + path), host, needs, comment)
        _rule(name, [parsed])  # raises if no rule can express it
        yield parsed


def _base(server: Mapping[str, Any]) -> tuple[str, str]:
    """Return a server's base path and host, with the defaults of its variables."""
    variables = _mapping(server.get("variables"))

    def default(match: re.Match[str]) -> str:
        value = _mapping(variables.get(match[1])).get("default")
        if value is None:
            raise OpenAPIError(f"the server's variable {match[1]} has no default")
        return str(value)

    url = urlsplit(_PARAMETER.sub(default, str(server.get("url", "/"))))
    path, host = url.path.strip("/"), url.netloc.rpartition("@")[2]
    return f"/{path}" if path else "", host if HOST.fullmatch(host.encode()) else ""


def _template(path: str) -> str:
    """Return a path as a rule's template; raises OpenAPIError if a parameter is only part of a segment."""
    names: set[str] = set()
    segments = []
    for segment in path.split("/"):
        match = _PARAMETER.fullmatch(segment)
        if match is None and _PARAMETER.search(segment):
            raise OpenAPIError(f"in {segment} a parameter is only part of the segment, which no rule can express")
        segments.append(segment if match is None else f"{{{_parameter(match[1], names)}}}")
    return "/".join(segments)


def _parameter(name: str, taken: set[str]) -> str:
    """Return a parameter's name as a valid and unique name in a rule."""
    name = re.sub("[^A-Za-z0-9_]", "_", name)
    name = f"_{name}" if name[0].isdigit() else name
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _needs(security: Any, root: Mapping[str, Any]) -> tuple[Needs, str]:
    """Return what `security` requires of a bearer token, and a comment on its alternatives; raises OpenAPIError."""
    if security is None:
        return Needs(), "the document does not say what it requires"
    schemes = _mapping(_mapping(root.get("components")).get("securitySchemes"))
    alternatives = [_mapping(alternative) for alternative in _list(security)]
    if not any(alternatives):
        return Needs(public=True), ""
    usable = []
    others = [] if all(alternatives) else ["no token at all"]
    for alternative in filter(None, alternatives):
        foreign = [name for name in alternative if not _takes_bearer(_resolved(root, schemes.get(name)))]
        if foreign:
            others.append(" with ".join(foreign))
        else:
            usable.append(frozenset(str(scope) for scopes in alternative.values() for scope in _list(scopes)))
    comment = f"the document {'also ' if usable else ''}accepts {', or '.join(others)}" if others else ""
    return _scopes(usable), comment


def _scopes(alternatives: Sequence[frozenset[str]]) -> Needs:
    """Return alternatives of scopes as one requirement; raises OpenAPIError if that is impossible."""
    minimal = {scopes for scopes in alternatives if not any(other < scopes for other in alternatives)}
    common = frozenset.intersection(*minimal) if minimal else frozenset()
    rest = [sorted(scopes - common) for scopes in minimal]
    if len(minimal) > 1 and any(len(scopes) > 1 for scopes in rest):
        choices = sorted(" ".join(sorted(scopes)) for scopes in minimal)
        raise OpenAPIError(f"no rule can require {' or '.join(f'({choice})' for choice in choices)}")
    return Needs(scopes=tuple(sorted(common)), any_scope=tuple(sorted(scope for scopes in rest for scope in scopes)))


def _takes_bearer(scheme: Mapping[str, Any]) -> bool:
    kind = scheme.get("type")
    return kind in ("oauth2", "openIdConnect") or (kind == "http" and str(scheme.get("scheme")).lower() == "bearer")


def _resolved(root: Mapping[str, Any], value: Any) -> Mapping[str, Any]:
    """Follow references within the document (RFC 6901); raises OpenAPIError for others."""
    for _ in range(_REFERENCES):
        node = _mapping(value)
        reference = node.get("$ref")
        if reference is None:
            return node
        if not str(reference).startswith("#/"):
            raise OpenAPIError(f"the reference {reference} leads to another document")
        value = reduce(_step, str(reference)[2:].split("/"), root)
    raise OpenAPIError(f"too long a chain of references: {reference}")


def _step(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return _mapping(value.get(unquote(name).replace("~1", "/").replace("~0", "~")))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def proposals(specification: Specification) -> Iterator[Proposal]:
    """Yield a proposed rule for each path and requirement, with all methods that require the same."""
    groups: defaultdict[tuple[Shape, Needs], list[Operation]] = defaultdict(list)
    for operation in specification.operations:
        groups[_shape(operation.path), operation.needs].append(operation)
    taken: set[str] = set()
    for group in groups.values():
        name = unique_name(", ".join(dict.fromkeys(operation.name for operation in group)), taken)
        yield Proposal(
            _rule(name, group), tuple(dict.fromkeys(filter(None, (operation.comment for operation in group))))
        )


def _rule(name: str, operations: Sequence[Operation]) -> Rule:
    """Return the rule of operations with equal path and requirement; raises ValueError if it is not valid."""
    path, needs = operations[0].path, operations[0].needs
    return Rule(
        name=unique_name(name, set()),
        path=path,
        methods=tuple(operation.method for operation in operations),
        public=needs.public,
        authenticated=not (needs.public or needs.scopes or needs.any_scope),
        scopes=needs.scopes,
        any_scope=needs.any_scope,
    )


@dataclass(frozen=True, slots=True)
class Gaps:
    """The differences between a document and a policy: operations without a rule, rules without an operation."""

    operations: tuple[Operation, ...]
    rules: tuple[PolicyRule, ...]


def compare(specification: Specification, policy: Policy) -> Gaps:
    """Evaluate a request for each operation, for its server's host and for the host of every rule."""
    literals = {segment for entry in policy.entries for segment in entry.pattern.path.segments}
    sample = next(text for text in map("sample{}".format, count()) if text.encode() not in literals)
    rule_hosts = {entry.rule.host.replace("*", sample) for entry in policy.entries if entry.rule.host is not None}
    without, used = [], set()
    for operation in specification.operations:
        parts = operation.path.split("/")
        target = "/".join(sample if _PARAMETER.fullmatch(part) else quote(part, safe=_UNQUOTED) for part in parts)
        matches = {
            policy.locate(PolicyRequest(operation.method, target, host)).entry for host in {operation.host, *rule_hosts}
        }
        used |= matches
        if matches == {None}:
            without.append(operation)
    return Gaps(tuple(without), tuple(entry for entry in policy.entries if entry not in used))
