"""The registered clients, read from a YAML file."""

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

# RFC 6749 appendix A: client-id and client-secret consist of VSCHAR, scope-token of NQCHAR without the space.
VisibleText = Annotated[str, StringConstraints(pattern=r"\A[\x20-\x7e]+\z")]
ScopeToken = Annotated[str, StringConstraints(pattern=r"\A[\x21\x23-\x5b\x5d-\x7e]+\z")]
Thumbprint = Annotated[str, StringConstraints(pattern=r"\A[A-Za-z0-9_-]{43}\z")]
Audience = Annotated[str, StringConstraints(pattern=r"\A[\x21-\x7e]+\z")]


class _Entry(BaseModel):
    """A client as in the file, where its identifier is the key."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    secret: VisibleText = Field(repr=False)
    token_format: Literal["opaque", "jwt"] = "opaque"  # noqa: S105 - a format
    scopes: tuple[ScopeToken, ...] = Field(strict=False)
    audience: tuple[Audience, ...] = Field(strict=False, min_length=1)
    may_introspect: bool = False
    certificate_thumbprint: Thumbprint | None = None


class Client(_Entry):
    """A registered client.

    `scopes` is the most that it can request, and the default; a client without scopes gets no tokens. `audience` is the
    `aud` claim of its tokens. `certificate_thumbprint` is the base64url SHA-256 of a certificate that its tokens are
    bound to (RFC 8705 §3).
    """

    client_id: str


Clients = Mapping[str, Client]


class _File(BaseModel):
    model_config = _Entry.model_config

    clients: dict[VisibleText, _Entry] = Field(min_length=1)


class ClientsError(Exception):
    """A clients file that is not valid.

    `problems` contains one line of text for each error in the file, and never a value from it.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def packaged_clients() -> Clients:
    """Return the clients of the file in the package."""
    return parse_clients(files("authserver").joinpath("clients.yaml").read_bytes(), "clients.yaml")


def parse_clients(text: bytes, source: str) -> Clients:
    """Read the clients from a YAML text; `source` is its name in errors.

    Raises `ClientsError`.
    """
    try:
        root, duplicates, content = _load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        # A secret that begins with `*` or `!` is an alias or a tag in YAML, and the parser's message would contain it.
        problem = re.sub(r"(alias|tag|handle) '.*'", r"\1", getattr(error, "problem", None) or "not a YAML text")
        raise ClientsError([_problem(source, mark.line + 1 if mark else 1, problem)]) from None

    errors = [(line, f"{name}: duplicate key") for line, name in duplicates]
    registered: Mapping[str, _Entry] = {}
    try:
        registered = _File.model_validate(content).clients
    except ValidationError as error:
        for details in error.errors(include_url=False, include_input=False, include_context=False):
            path = ".".join(str(step) for step in details["loc"] if step != "[key]")
            errors.append((_line(root, details["loc"]), f"{path or 'file'}: {_message(details)}"))
    if errors:
        raise ClientsError([_problem(source, line, message) for line, message in sorted(errors)])
    return {client_id: Client(client_id=client_id, **dict(entry)) for client_id, entry in registered.items()}


def _load(text: bytes) -> tuple[yaml.Node | None, Sequence[tuple[int, str]], object]:
    """Return the root node, from which `_line` finds lines, the duplicate keys with their lines, and the values."""
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        # Before the construction, because it joins merged keys (`<<`) with the keys that override them.
        duplicates = list(_duplicates(root))
        return root, duplicates, None if root is None else loader.construct_document(root)
    except ValueError as error:
        # PyYAML raises a bare ValueError for a scalar such as 2001-99-99, which looks like a date.
        raise yaml.YAMLError(str(error)) from None
    finally:
        loader.dispose()


def _duplicates(node: yaml.Node | None, levels: int = 3) -> Iterator[tuple[int, str]]:
    """Yield the duplicate keys of mappings, with their lines.

    The file has three levels of mappings. The limit ends the recursion if an alias refers to a node around it.
    """
    if levels and isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    yield key.start_mark.line + 1, key.value
                seen.add(key.value)
            yield from _duplicates(value, levels - 1)


def _line(node: yaml.Node | None, path: tuple[int | str, ...]) -> int:
    """Return the line of the last step of `path` that exists; of duplicate keys, the last one counts."""
    line = 1
    for step in path:
        if isinstance(node, yaml.MappingNode):
            entry = next(((key, value) for key, value in reversed(node.value) if key.value == str(step)), None)
            if entry is None:
                break
            line, node = entry[0].start_mark.line + 1, entry[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _message(details: ErrorDetails) -> str:
    messages = {
        "missing": "missing",
        "extra_forbidden": "unknown key",
        "model_type": "should be a mapping",
        "string_pattern_mismatch": "empty, or contains a character that is not allowed here (RFC 6749 appendix A)",
    }
    return messages.get(details["type"], details["msg"])


def _problem(source: str, line: int, message: str) -> str:
    return f"{source}:{line}: {message}"
