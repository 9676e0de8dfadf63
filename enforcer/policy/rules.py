"""Rules as a user writes them: who may do what.

1. A rule says who is allowed: `public`, `authenticated`, or at least one condition on the token. A rule without any of
   these is an error, never open.
2. All conditions must be met. A condition that cannot be checked is not met.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from enforcer.errors import MalformedRequestError, SettingsError
from enforcer.tokens.claims import claim_value
from enforcer.tokens.introspection.metadata import PLACEHOLDER, is_template
from enforcer.units import Pattern, Seconds, Section, Switch
from enforcer.wire.target import parse_segments

Scalar = str | int | bool
Mode = Literal["enforce", "report"]
"""Treatment of a denied request: it is refused, or forwarded and counted as would_deny."""
Preflight = Literal["allow", "judge"]
"""Treatment of a CORS preflight: allowed without a token, or treated like any other OPTIONS request."""

_SIMPLE = re.compile(r"[A-Za-z0-9_~-]+")
_STRINGS: Final = ("sub", "client_id", "aud", "iss")
"""Claims whose values are read as strings, also if the server sends a number."""
_NAME = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 §3.3
_METHOD = re.compile(r"[A-Z][A-Z-]*")
# CONNECT: RFC 9110 §9.3.6. The others belong to HTTP/2, ICE and RTSP, but llhttp accepts them too.
UNSERVED: Final = frozenset(
    b"CONNECT PRI SOURCE DESCRIBE ANNOUNCE SETUP PLAY PAUSE TEARDOWN REDIRECT RECORD FLUSH "
    b"GET_PARAMETER SET_PARAMETER".split()
)
"""Methods that no rule matches: CONNECT turns a proxy into a tunnel, and the others are not HTTP methods."""
_HOST = re.compile(r"(?:\*\.)?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\]|[0-9.]+")


@dataclass(frozen=True, slots=True)
class Path:
    """A path template: `segments` are literals, or None for `{name}`; `rest` is set if the template ends in `**`.

    `names` maps the name of each `{name}` segment to its index.
    """

    segments: tuple[bytes | None, ...]
    rest: bool
    names: Mapping[str, int] = field(hash=False)

    @property
    def rank(self) -> bytes:
        """The sort key of specificity: of the templates that match a path, the lowest rank is the most specific."""
        kinds = bytes(segment is None for segment in self.segments)
        return kinds + b"\2" if self.rest else kinds

    def matches(self, segments: Sequence[bytes]) -> bool:
        """Return whether the template matches a path; the matcher decides the same for many templates at once."""
        own = self.segments
        if len(segments) < len(own) or (len(segments) > len(own) and not self.rest):
            return False
        return all(actual if fixed is None else actual == fixed for fixed, actual in zip(own, segments, strict=False))

    @staticmethod
    def parse(text: str) -> Path:
        """Parse a template; raises ValueError."""
        if not text.startswith("/"):
            raise ValueError("a path begins with /")
        parts = text[1:].split("/")
        rest = parts[-1] == "**"
        if rest:
            parts.pop()
        if "" in (parts if rest else parts[:-1]):
            raise ValueError("no request can have this path: it has an empty segment")
        segments: list[bytes | None] = []
        names: dict[str, int] = {}
        for index, part in enumerate(parts):
            if parameter := _NAME.fullmatch(part):
                name = parameter[1]
                if name in names:
                    raise ValueError(f"duplicate {{{name}}} in the path")
                names[name] = index
                segments.append(None)
            else:
                segments.append(_literal(part))
        return Path(tuple(segments), rest, names)


def _literal(part: str) -> bytes:
    if _SIMPLE.fullmatch(part):
        return part.encode()
    if "*" in part:
        raise ValueError("* is not a pattern here: use {name} for one segment, ** at the end for the rest")
    if "{" in part or "}" in part:
        raise ValueError("{name} must be a whole segment, and a name has only letters, digits and _")
    encoded = b"/" + part.encode().replace(b" ", b"%20")
    encoded = b"".join(b"%%%02X" % byte if byte > 0x7F else bytes((byte,)) for byte in encoded)
    try:
        return parse_segments(encoded)[0]
    except MalformedRequestError as error:
        raise ValueError(f"no request can have this path: {error.why}") from None


@dataclass(frozen=True, slots=True)
class Claim:
    """A condition on one claim, nested under the keys `path`.

    Its value, or a member of a list, must be one of `allowed`, or equal path segment number `segment`.
    """

    name: str
    path: tuple[str, ...]
    allowed: tuple[Scalar, ...]
    segment: int | None

    def holds(self, claims: Mapping[str, Any], segments: Sequence[bytes]) -> bool:
        """Return whether the token's claims meet the condition."""
        value = claim_value(claims, self.name, self.path)
        members = value if isinstance(value, list) else [value]
        if self.segment is None:
            # Not `in`, because in Python True == 1.
            return any(type(member) is type(value) and member == value for member in members for value in self.allowed)
        segment = segments[self.segment]
        return any(_text(member) == segment for member in members)


def _text(member: Any) -> bytes | None:
    if isinstance(member, str):
        return member.encode("utf-8", "surrogatepass")
    if isinstance(member, int) and not isinstance(member, bool):
        return b"%d" % member
    return None


Method = Annotated[str, Pattern(rf"^{_METHOD.pattern}$", tuple(sorted(map(bytes.decode, UNSERVED))))]
Scope = Annotated[str, Pattern(r"^[!#-\[\]-~]+$")]
PathTemplate = Annotated[str, Pattern(r"^/(?:[^/*]+/)*(?:[^/*]*|\*\*)$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleDefaults(Section):
    """The keys of a rule that `rule_defaults` may set."""

    methods: tuple[Method, ...] = ()
    """Methods that the rule matches; GET includes HEAD. Default: every method except CONNECT."""
    host: Annotated[str, Pattern(rf"^(?:{_HOST.pattern})$")] | None = None
    """Host that the rule matches, without port; `*.example.org` matches any first label. Default: every host."""
    authenticated: Switch = False
    """Allow every active token, whatever its scopes."""
    scopes: tuple[Scope, ...] = ()
    """Scopes that the token must have, all of them; `$name` stands for the scopes of a set in `scope_sets`."""
    any_scope: tuple[Scope, ...] = ()
    """Scopes of which the token must have at least one; `$name` stands for the scopes of a set in `scope_sets`."""
    claims: Mapping[str, Scalar | tuple[Scalar, ...]] = field(default_factory=dict, hash=False)
    """Claims that the token must have: a value, a list of which one value must match, or `"{name}"` for the path
    segment of that name. A dotted name reaches into nested claims."""
    audience: tuple[str, ...] = ()
    """Audiences of which the token must have at least one."""
    issuer: tuple[str, ...] = ()
    """Issuers of which one must have issued the token."""
    client_ids: tuple[str, ...] = ()
    """Clients of which one must be the token's client."""
    upstream: str | None = None
    """Name of the upstream, one of `upstreams`. Default: `upstream`."""
    authorization_server: str | tuple[str, ...] | None = None
    """Name of the authorization server whose tokens are accepted, or a list of names. Default: the configuration's
    first. A JWT is verified by the server whose `issuer` it names, any other token only by the first of the list."""
    ask_in_order: Switch = False
    """If a token names no issuer and is unknown to the first authorization server, ask the rule's other ones too, in
    order. This sends the token to servers that did not issue it."""
    max_answer_age: Seconds | None = None
    """Maximum age of a cached verification result for this rule. Default: the cache's `ttl`."""
    on_outage: Literal["deny", "stale"] = "deny"
    """Behaviour during an outage of the authorization server: `deny`, or use a `stale` cached result for up to the
    cache's `stale` after its time."""
    mode: Mode | None = None
    """Whether a denied request is refused (`enforce`), or forwarded and only reported (`report`). Default: the
    configuration's `mode`."""
    cors_preflight: Preflight | None = None
    """Whether a CORS preflight for one of the rule's methods passes without a token (`allow`), or is treated like any
    other OPTIONS request (`judge`). Default: the configuration's `cors_preflight`."""

    def __post_init__(self) -> None:
        _refuse(_faults(self))

    @property
    def authorization_servers(self) -> tuple[str, ...]:
        """The names of the authorization servers whose tokens are accepted; empty for the configuration's first one."""
        names = self.authorization_server
        return (names,) if isinstance(names, str) else names or ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(RuleDefaults):
    """One rule of the policy."""

    name: Annotated[str, Pattern("^[^_]")]
    """Unique name: a metric label and a log field."""
    path: PathTemplate | None = None
    """Path template: `{name}` matches one segment, `**` at the end matches the rest. The most specific path applies."""
    paths: tuple[PathTemplate, ...] = ()
    """Several path templates instead of `path`: the rule is the same for each of them."""
    public: Switch = False
    """Allow everybody, without a token."""

    def __post_init__(self) -> None:
        _refuse([*_faults_of_rule(self), *_faults(self)])

    @property
    def templates(self) -> tuple[str, ...]:
        """The path templates, of which a request's path must match one."""
        return self.paths if self.path is None else (self.path,)


def _refuse(faults: Iterable[Fault]) -> None:
    by_path = dict(faults)
    if by_path:
        raise SettingsError(by_path)


Fault = tuple[tuple[str | int, ...], str]
"""An error in a rule or another section: the path of the value within the section, and a message."""

CONDITIONS: Final = ("scopes", "any_scope", "claims", "audience", "issuer", "client_ids")
"""Keys of a rule that are conditions on the token."""
TOKEN_KEYS: Final = (*CONDITIONS, "authenticated", "max_answer_age", "on_outage")
"""Keys of a rule that concern the token, which a public rule does not have."""


def _faults(rule: RuleDefaults) -> Iterator[Fault]:
    for index, method in enumerate(rule.methods):
        if not _METHOD.fullmatch(method):
            yield ("methods", index), f"{method!r} is not a method in capital letters"
        elif method.encode() in UNSERVED:
            yield ("methods", index), f"{method} is never forwarded"
        elif method in rule.methods[:index]:
            yield ("methods", index), f"duplicate method {method}"
    for key, scopes in (("scopes", rule.scopes), ("any_scope", rule.any_scope)):
        for index, scope in enumerate(scopes):
            if not is_scope(scope):
                yield (key, index), f"{scope!r} is not a valid scope: no spaces, quotes or backslashes"
    if rule.host is not None and not _HOST.fullmatch(rule.host):
        yield ("host",), "expected a name without port, such as app.example.org or *.example.org"
    for name, value in rule.claims.items():
        if isinstance(value, tuple) and not value:
            yield ("claims", name), "an empty list, which no token can meet"
        elif name == "scope":
            yield ("claims", name), "write scopes or any_scope, which read it as a string and as a list"
        elif name in _STRINGS and not all(isinstance(item, str) for item in as_values(value)):
            yield ("claims", name), 'the claim is always read as a string; write the value in quotes: "42"'
    for index, issuer in enumerate(rule.issuer):
        if is_template(issuer):
            yield ("issuer", index), PLACEHOLDER
    servers = rule.authorization_servers
    if rule.authorization_server == ():
        yield ("authorization_server",), "expected at least one, found an empty list"
    for index, server in enumerate(servers):
        if server in servers[:index]:
            yield ("authorization_server", index), f"duplicate authorization server {server}"


def _faults_of_rule(rule: Rule) -> Iterator[Fault]:
    if not rule.name or not rule.name.isprintable() or rule.name.startswith("_") or len(rule.name) > 100:
        yield ("name",), "a name is 1 to 100 printable characters and does not begin with _"
    yield from _faults_of_paths(rule)
    conditions = any(getattr(rule, key) for key in CONDITIONS)
    needs_token = conditions or rule.authenticated or rule.max_answer_age is not None or rule.on_outage == "stale"
    if rule.public and needs_token:
        yield (), "public allows everybody; remove it, or every other condition"
    if not rule.public and not rule.authenticated and not conditions:
        yield (), _ALLOWS_NOBODY
    if rule.ask_in_order and len(rule.authorization_servers) < 2:
        yield ("ask_in_order",), "needs several names in authorization_server"


def _faults_of_paths(rule: Rule) -> Iterator[Fault]:
    if rule.path is not None and rule.paths:
        yield ("paths",), "a rule has path or paths, not both"
    elif not rule.templates:
        yield (), 'missing key "path": the path template of the rule, or paths for several'
    for index, template in enumerate(rule.templates):
        place = ("path",) if rule.path is not None else ("paths", index)
        try:
            path = Path.parse(template)
        except ValueError as error:
            yield place, str(error)
            continue
        for name, value in rule.claims.items():
            parameter = _NAME.fullmatch(value) if isinstance(value, str) else None
            if parameter and parameter[1] not in path.names:
                where = "the path" if rule.path is not None else f"the path {template}"
                yield ("claims", name), f"{where} has no segment {value}"


_ALLOWS_NOBODY: Final = (
    "allows nobody: add scopes, any_scope, claims, audience, issuer or client_ids, "
    "or authenticated: true for any active token, or public: true for everybody"
)
"""The error of a rule without condition."""


def as_values(value: Scalar | tuple[Scalar, ...]) -> tuple[Scalar, ...]:
    """Return the values of which a claim must have one."""
    return value if isinstance(value, tuple) else (value,)


def is_scope(text: str) -> bool:
    """Return whether a text is a valid scope (RFC 6749 §3.3)."""
    return _SCOPE.fullmatch(text) is not None


def compile_claims(rule: Rule, path: Path) -> tuple[Claim, ...]:
    """Return the claim conditions of a rule, compiled for the request path."""
    compiled = []
    for name, value in rule.claims.items():
        parameter = _NAME.fullmatch(value) if isinstance(value, str) else None
        allowed = as_values(value)
        segment = path.names[parameter[1]] if parameter else None
        compiled.append(Claim(name, tuple(name.split(".")), () if parameter else allowed, segment))
    return tuple(compiled)
