"""Rules from an OpenAPI document (3.0, 3.1): its paths, methods, and the scopes of `security`.

1. Nothing that the document leaves open becomes public: only `security: []` and `security: [{}]` say so.
2. Of alternatives, those count that a bearer token can meet. What no rule can say is left out, and told of.
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

from enforcer.analysis.evaluator import Entry, Policy, Request
from enforcer.analysis.rule_yaml import Proposal, unique_name
from enforcer.policy.rules import Path, Rule
from enforcer.wire.fields import HOST

_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_PARAMETER: Final = re.compile(r"\{([^{}/]+)\}")
_REFERENCES: Final = 8  # that may lead from one to the next


class OpenAPIError(ValueError):
    """Something of a document that cannot be read, or cannot be said in a rule."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What an operation needs: nothing (`public`), or an active token with all of `scopes` and one of `any_scope`."""

    public: bool = False
    scopes: tuple[str, ...] = ()
    any_scope: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation under one base path; `path` is written as a rule's, `host` is its server's or empty."""

    name: str
    method: str
    path: str
    host: str
    needs: Needs
    comment: str


@dataclass(frozen=True, slots=True)
class Specification:
    """What a document says, and, a line each, what of it no rule can say."""

    title: str
    operations: tuple[Operation, ...]
    left_out: tuple[str, ...]


def read(document: Any) -> Specification:
    """Read a document's values; raises OpenAPIError where it is not OpenAPI 3.0 or 3.1."""
    whole = _mapping(document)
    version = str(whole.get("openapi", "nothing"))
    if not re.fullmatch(r"3\.[01](\.[0-9]+)?", version):
        raise OpenAPIError(f"not OpenAPI 3.0 or 3.1: it says openapi: {version}")
    operations: dict[tuple[str, Shape], Operation] = {}
    left_out = []
    for path, item in _mapping(whole.get("paths")).items():
        for method in _METHODS:
            where = f"{method.upper()} {path}"
            try:
                found = [*_operations(whole, str(path), method, item)]
            except ValueError as error:
                left_out.append(f"{where}: {error}")
                continue
            taken = [operations.setdefault((method, _shape(one.path)), one) for one in found]
            left_out += [f"{where}: {one.path} is the same place" for one in taken if one not in found]
    title = str(_mapping(whole.get("info")).get("title", "an OpenAPI document"))
    return Specification(title, tuple(operations.values()), tuple(left_out))


Shape = tuple[tuple[bytes | None, ...], bool]
"""A path without the names of its parameters."""


def _shape(path: str) -> Shape:
    parsed = Path.parse(path)
    return parsed.segments, parsed.rest


def _operations(whole: Mapping[str, Any], path: str, method: str, value: Any) -> Iterator[Operation]:
    """Give the operation of a path item, if there is one, once for each base path of its servers.

    Raises ValueError where no rule can say what it says.
    """
    item = _resolved(whole, value)
    if method not in item:
        return
    operation = _mapping(item[method])
    levels = (operation, item, whole)
    servers = next((level["servers"] for level in levels if level.get("servers")), [{"url": "/"}])
    security = next((level["security"] for level in levels if level.get("security") is not None), None)
    needs, comment = _needs(security, whole)
    name = str(operation.get("operationId") or operation.get("summary") or f"{method.upper()} {path}")
    hosts: dict[str, str] = {}
    for server in _list(servers):
        base, host = _base(_mapping(server))
        hosts.setdefault(base, host)
    for base, host in hosts.items():
        one = Operation(name, method.upper(), _template(base + path), host, needs, comment)
        _rule(name, [one])
        yield one


def _base(server: Mapping[str, Any]) -> tuple[str, str]:
    """Return a server's base path and host, with its variables' defaults."""
    variables = _mapping(server.get("variables"))

    def default(found: re.Match[str]) -> str:
        value = _mapping(variables.get(found[1])).get("default")
        if value is None:
            raise OpenAPIError(f"the server's variable {found[1]} has no default")
        return str(value)

    url = urlsplit(_PARAMETER.sub(default, str(server.get("url", "/"))))
    path, host = url.path.strip("/"), url.netloc.rpartition("@")[2]
    return f"/{path}" if path else "", host if HOST.fullmatch(host.encode()) else ""


def _template(path: str) -> str:
    """Write a path as a rule's; raises OpenAPIError where part of a segment varies."""
    names: set[str] = set()
    segments = []
    for segment in path.split("/"):
        found = _PARAMETER.fullmatch(segment)
        if found is None and _PARAMETER.search(segment):
            raise OpenAPIError(f"{segment} varies in part, and in a rule a whole segment does")
        segments.append(segment if found is None else f"{{{_parameter(found[1], names)}}}")
    return "/".join(segments)


def _parameter(name: str, taken: set[str]) -> str:
    """Return a parameter's name as a rule can have it, and once only."""
    name = re.sub("[^A-Za-z0-9_]", "_", name)
    name = f"_{name}" if name[0].isdigit() else name
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _needs(security: Any, whole: Mapping[str, Any]) -> tuple[Needs, str]:
    """Tell what a `security` asks of a bearer token, and what else there is to know of it; raises OpenAPIError."""
    if security is None:
        return Needs(), "the document says nothing of its security"
    schemes = _mapping(_mapping(whole.get("components")).get("securitySchemes"))
    alternatives = [_mapping(one) for one in _list(security)]
    if not any(alternatives):
        return Needs(public=True), ""
    usable = []
    others = [] if all(alternatives) else ["no token at all"]
    for one in filter(None, alternatives):
        foreign = [name for name in one if not _takes_bearer(_resolved(whole, schemes.get(name)))]
        if foreign:
            others.append(" with ".join(foreign))
        else:
            usable.append(frozenset(str(scope) for scopes in one.values() for scope in _list(scopes)))
    comment = (
        f"the document also takes {', or '.join(others)}" if usable else f"the document takes {', or '.join(others)}"
    )
    return _scopes(usable), comment if others else ""


def _scopes(alternatives: Sequence[frozenset[str]]) -> Needs:
    """Say a choice of scopes in one rule; raises OpenAPIError where it cannot be."""
    least = {one for one in alternatives if not any(other < one for other in alternatives)}
    common = frozenset.intersection(*least) if least else frozenset()
    rest = [sorted(one - common) for one in least]
    if len(least) > 1 and any(len(one) > 1 for one in rest):
        choices = sorted(" ".join(sorted(one)) for one in least)
        raise OpenAPIError(f"no rule can say that it needs {' or '.join(f'({one})' for one in choices)}")
    return Needs(scopes=tuple(sorted(common)), any_scope=tuple(sorted(scope for one in rest for scope in one)))


def _takes_bearer(scheme: Mapping[str, Any]) -> bool:
    kind = scheme.get("type")
    return kind in ("oauth2", "openIdConnect") or (kind == "http" and str(scheme.get("scheme")).lower() == "bearer")


def _resolved(whole: Mapping[str, Any], value: Any) -> Mapping[str, Any]:
    """Follow references within the document (RFC 6901); raises OpenAPIError for others."""
    for _ in range(_REFERENCES):
        found = _mapping(value)
        reference = found.get("$ref")
        if reference is None:
            return found
        if not str(reference).startswith("#/"):
            raise OpenAPIError(f"the reference {reference} leads out of the document")
        value = reduce(_step, str(reference)[2:].split("/"), whole)
    raise OpenAPIError(f"too many references lead from one to the next: {reference}")


def _step(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return _mapping(value.get(unquote(name).replace("~1", "/").replace("~0", "~")))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def proposals(specification: Specification) -> Iterator[Proposal]:
    """Propose a rule for each path and what it needs, for all methods that need the same."""
    groups: defaultdict[tuple[Shape, Needs], list[Operation]] = defaultdict(list)
    for one in specification.operations:
        groups[_shape(one.path), one.needs].append(one)
    taken: set[str] = set()
    for group in groups.values():
        name = unique_name(", ".join(dict.fromkeys(one.name for one in group)), taken)
        yield Proposal(_rule(name, group), tuple(dict.fromkeys(one.comment for one in group if one.comment)))


def _rule(name: str, operations: Sequence[Operation]) -> Rule:
    """Make the rule of operations that need the same at one place; raises ValueError where there is none."""
    path, needs = operations[0].path, operations[0].needs
    return Rule(
        name=unique_name(name, set()),
        path=path,
        methods=tuple(one.method for one in operations),
        public=needs.public,
        authenticated=not (needs.public or needs.scopes or needs.any_scope),
        scopes=needs.scopes,
        any_scope=needs.any_scope,
    )


@dataclass(frozen=True, slots=True)
class Gaps:
    """Where a document and a policy do not speak of the same: operations without a rule, rules without an operation."""

    operations: tuple[Operation, ...]
    rules: tuple[Entry, ...]


def compare(specification: Specification, policy: Policy) -> Gaps:
    """Put a request for each operation to the policy, for its server's host and for every host of a rule."""
    literals = {segment for entry in policy.entries for segment in entry.place.path.segments}
    sample = next(text for text in _samples() if text.encode() not in literals)
    ruled = {entry.rule.host.replace("*", sample) for entry in policy.entries if entry.rule.host is not None}
    without, used = [], set()
    for one in specification.operations:
        target = "/".join(sample if _PARAMETER.fullmatch(part) else _quoted(part) for part in one.path.split("/"))
        found = {policy.locate(Request(one.method, target, host)).entry for host in {one.host, *ruled}}
        used |= found
        if found == {None}:
            without.append(one)
    return Gaps(tuple(without), tuple(entry for entry in policy.entries if entry not in used))


def _samples() -> Iterator[str]:
    return (f"sample{number}" for number in count())


def _quoted(segment: str) -> str:
    return quote(segment, safe="!$&'()*+,=:@~%")
