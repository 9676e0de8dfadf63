"""The registered clients, read from YAML."""

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

# RFC 6749 appendix A: client-id and client-secret are VSCHARs, scope-token is NQCHAR without the space.
VisibleText = Annotated[str, StringConstraints(pattern=r"\A[\x20-\x7e]+\z")]
ScopeToken = Annotated[str, StringConstraints(pattern=r"\A[\x21\x23-\x5b\x5d-\x7e]+\z")]
Thumbprint = Annotated[str, StringConstraints(pattern=r"\A[A-Za-z0-9_-]{43}\z")]
Audience = Annotated[str, StringConstraints(pattern=r"\A[\x21-\x7e]+\z")]


class _Entry(BaseModel):
    """One client as the file has it, under its identifier."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    secret: VisibleText = Field(repr=False)
    token_format: Literal["opaque", "jwt"] = "opaque"  # noqa: S105 - a format
    scopes: tuple[ScopeToken, ...] = Field(strict=False)
    audience: tuple[Audience, ...] = Field(strict=False, min_length=1)
    may_introspect: bool = False
    certificate_thumbprint: Thumbprint | None = None


class Client(_Entry):
    """A registered client.

    `scopes` are all it may ask for, and what it gets when it asks for none; a client without scopes gets no token.
    `audience` names the protected resources that its tokens are meant for. With `certificate_thumbprint`, the SHA-256
    of a certificate, base64url, its tokens are for who shows that certificate alone (RFC 8705 §3).
    """

    client_id: str


Clients = Mapping[str, Client]


class _File(BaseModel):
    model_config = _Entry.model_config

    clients: dict[VisibleText, _Entry] = Field(min_length=1)


class ClientsError(Exception):
    """Report a clients file that cannot be used.

    `problems` holds one line of text for each fault, all of them at once, and never a value of the file.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def packaged_clients() -> Clients:
    """Return the clients that come with the package."""
    return parse_clients(files("authserver").joinpath("clients.yaml").read_bytes(), "clients.yaml")


def parse_clients(text: bytes, source: str) -> Clients:
    """Read the clients of a YAML text; `source` names it in errors.

    Raises `ClientsError`.
    """
    try:
        root, duplicates, content = _load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        # A secret that begins with `*` or `!` is taken for an alias or a tag, which the parser would repeat.
        problem = re.sub(r"(alias|tag|handle) '.*'", r"\1", getattr(error, "problem", None) or "not a YAML text")
        raise ClientsError([_problem(source, mark.line + 1 if mark else 1, problem)]) from None

    faults = [(line, f"{name}: given twice") for line, name in duplicates]
    registered: Mapping[str, _Entry] = {}
    try:
        registered = _File.model_validate(content).clients
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False, include_context=False):
            path = ".".join(str(step) for step in fault["loc"] if step != "[key]")
            faults.append((_line(root, fault["loc"]), f"{path or 'file'}: {_wording(fault)}"))
    if faults:
        raise ClientsError([_problem(source, line, message) for line, message in sorted(faults)])
    return {client_id: Client(client_id=client_id, **dict(entry)) for client_id, entry in registered.items()}


def _load(text: bytes) -> tuple[yaml.Node | None, Sequence[tuple[int, str]], object]:
    """Return the YAML nodes, which know their lines, the keys that are given twice, and the values of it all."""
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        # First, because construction joins merged keys (`<<`) with those they are overridden by.
        duplicates = list(_duplicates(root))
        return root, duplicates, None if root is None else loader.construct_document(root)
    except ValueError as error:
        # A scalar that looks like a date and is none comes as a bare ValueError.
        raise yaml.YAMLError(str(error)) from None
    finally:
        loader.dispose()


def _duplicates(node: yaml.Node | None, levels: int = 3) -> Iterator[tuple[int, str]]:
    """Find keys that a mapping has twice, with their lines.

    The file has three levels of mappings; looking no deeper keeps an alias of itself from being followed for ever.
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
    """Return the line of the last step of `path` that the file has; of a key given twice, the later one counts."""
    line = 1
    for step in path:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in reversed(node.value) if key.value == str(step)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _wording(fault: ErrorDetails) -> str:
    wordings = {
        "missing": "missing",
        "extra_forbidden": "unknown key",
        "model_type": "should be a mapping",
        "string_pattern_mismatch": "empty, or with a character that is not allowed here (RFC 6749 appendix A)",
    }
    return wordings.get(fault["type"], fault["msg"])


def _problem(source: str, line: int, message: str) -> str:
    return f"{source}:{line}: {message}"
