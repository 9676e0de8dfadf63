"""A rule, as a user writes it and as it is judged: who may do what where.

1. A rule says who may pass: `public`, `authenticated`, or at least one condition on the token. One that says nothing
   is an error, never open.
2. All conditions must hold. A condition that cannot be checked does not hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Final, Literal

from enforcer.errors import FaultsError, MalformedRequestError
from enforcer.units import CLOSED, Seconds, Switch
from enforcer.wire.target import parse_segments

Scalar = str | int | bool
Mode = Literal["enforce", "report"]
"""What becomes of a request that is refused: it is, or it is forwarded all the same, and counted."""
Preflight = Literal["allow", "judge"]
"""What becomes of a CORS preflight: it passes without a token, or is judged as any other OPTIONS."""

_SIMPLE = re.compile(r"[A-Za-z0-9_~-]+")
_NAME = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 §3.3
_METHOD = re.compile(r"[A-Z][A-Z-]*")
# RFC 9110 §9.3.6; the others are those of HTTP/2, ICE and RTSP that a parser of HTTP takes too
UNSERVED: Final = frozenset(
    b"CONNECT PRI SOURCE DESCRIBE ANNOUNCE SETUP PLAY PAUSE TEARDOWN REDIRECT RECORD FLUSH "
    b"GET_PARAMETER SET_PARAMETER".split()
)
"""Methods that no rule is for: one makes a tunnel of a proxy, the others are none of HTTP."""
_HOST = re.compile(r"(?:\*\.)?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\]|[0-9.]+")


@dataclass(frozen=True, slots=True)
class Path:
    """A path template: segments from the left, each a literal or None for `{name}`; `rest` where it ends in `**`.

    `names` are the names of the `{name}` segments and where each stands.
    """

    segments: tuple[bytes | None, ...]
    rest: bool
    names: Mapping[str, int] = field(hash=False)

    @property
    def rank(self) -> bytes:
        """How specific it is: of the templates that a path fits, the one with the least rank is the most specific."""
        kinds = bytes(segment is None for segment in self.segments)
        return kinds + b"\2" if self.rest else kinds

    @staticmethod
    def parse(text: str) -> Path:
        """Read a template; raises ValueError saying what is wrong with it."""
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
        for at, part in enumerate(parts):
            if found := _NAME.fullmatch(part):
                if found[1] in names:
                    raise ValueError(f"{{{found[1]}}} stands twice in the path")
                names[found[1]] = at
                segments.append(None)
            else:
                segments.append(_literal(part))
        return Path(tuple(segments), rest, names)


def _literal(part: str) -> bytes:
    if _SIMPLE.fullmatch(part):
        return part.encode()
    if "*" in part:
        raise ValueError("* is no pattern here: {name} stands for one segment, ** at the end for the rest")
    if "{" in part or "}" in part:
        raise ValueError("{name} stands for a whole segment, and its name is letters, digits and _")
    encoded = b"/" + part.encode().replace(b" ", b"%20")
    encoded = b"".join(b"%%%02X" % byte if byte > 0x7F else bytes((byte,)) for byte in encoded)
    try:
        return parse_segments(encoded)[0]
    except MalformedRequestError as error:
        raise ValueError(f"no request can have this path: {error.why}") from None


@dataclass(frozen=True, slots=True)
class Claim:
    """A condition on one claim: it, or one of its members where it is a list, is one of `allowed`, or equals the
    path's segment number `segment`. `path` is the way to a nested claim."""

    name: str
    path: tuple[str, ...]
    allowed: tuple[Scalar, ...]
    segment: int | None

    def holds(self, claims: Mapping[str, Any], segments: Sequence[bytes]) -> bool:
        """Tell whether the token's claims meet the condition."""
        value: Any = claims.get(self.name)
        if value is None:
            value = claims
            for name in self.path:
                value = value.get(name) if isinstance(value, Mapping) else None
        members = value if isinstance(value, list) else [value]
        if self.segment is None:
            # Not `in`: to Python, True equals 1.
            return any(type(member) is type(one) and member == one for member in members for one in self.allowed)
        wanted = segments[self.segment]
        return any(_text(member) == wanted for member in members)


def _text(member: Any) -> bytes | None:
    if isinstance(member, str):
        return member.encode("utf-8", "surrogatepass")
    if isinstance(member, int) and not isinstance(member, bool):
        return b"%d" % member
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleDefaults:
    """The keys of a rule that `rule_defaults` may set."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    methods: tuple[str, ...] = ()
    """Methods that the rule matches; GET includes HEAD. Default: every method except CONNECT."""
    host: str | None = None
    """Host that the rule matches, without port; `*.example.org` matches any first label. Default: every host."""
    authenticated: Switch = False
    """Allow every active token, whatever its scopes."""
    scopes: tuple[str, ...] = ()
    """Scopes that the token must have, all of them; `$name` stands for the scopes of a set in `scope_sets`."""
    any_scope: tuple[str, ...] = ()
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
    """What happens during an outage of the authorization server: `deny`, or use a `stale` cached result for up to the
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
        """The names of the authorization servers whose tokens it takes; none: the first of the configuration."""
        named = self.authorization_server
        return (named,) if isinstance(named, str) else named or ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(RuleDefaults):
    """One rule of the policy."""

    name: str
    """Unique name: a metric label and a log field."""
    path: Annotated[str, "path"]
    """Path template: `{name}` matches one segment, `**` at the end matches the rest. The most specific path applies."""
    public: Switch = False
    """Allow everybody, without a token."""

    def __post_init__(self) -> None:
        _refuse([*_faults_of_rule(self), *_faults(self)])


def _refuse(faults: Iterable[Fault]) -> None:
    found = dict(faults)
    if found:
        raise FaultsError(found)


Fault = tuple[tuple[str | int, ...], str]
"""What is wrong with a rule: the way to it from there, and what to do about it."""

CONDITIONS: Final = ("scopes", "any_scope", "claims", "audience", "issuer", "client_ids")
"""Keys of a rule each of which says who may pass."""
OF_TOKENS: Final = (*CONDITIONS, "authenticated", "max_answer_age", "on_outage")
"""Keys of a rule that speak of its token: a public one has none."""


def _faults(rule: RuleDefaults) -> Iterator[Fault]:
    for at, method in enumerate(rule.methods):
        if not _METHOD.fullmatch(method):
            yield ("methods", at), f"{method!r} is no method in capitals"
        elif method.encode() in UNSERVED:
            yield ("methods", at), f"{method} is never let through"
        elif method in rule.methods[:at]:
            yield ("methods", at), f"{method} stands twice"
    for key, scopes in (("scopes", rule.scopes), ("any_scope", rule.any_scope)):
        for at, scope in enumerate(scopes):
            if not is_scope(scope):
                yield (key, at), f"{scope!r} is no scope: no blanks, quotes or backslashes"
    if rule.host is not None and not _HOST.fullmatch(rule.host):
        yield ("host",), "expected a name without port, such as app.example.org or *.example.org"
    for name, value in rule.claims.items():
        if isinstance(value, tuple) and not value:
            yield ("claims", name), "an empty list, which no token can meet"
    servers = rule.authorization_servers
    if rule.authorization_server == ():
        yield ("authorization_server",), "an empty list, of which nobody can be asked"
    for at, server in enumerate(servers):
        if server in servers[:at]:
            yield ("authorization_server", at), f"{server} stands twice"


def _faults_of_rule(rule: Rule) -> Iterator[Fault]:
    if not rule.name or not rule.name.isprintable() or rule.name.startswith("_") or len(rule.name) > 100:
        yield ("name",), "a name is 1 to 100 printable characters and does not begin with _"
    try:
        path = Path.parse(rule.path)
    except ValueError as error:
        yield ("path",), str(error)
    else:
        for name, value in rule.claims.items():
            found = _NAME.fullmatch(value) if isinstance(value, str) else None
            if found and found[1] not in path.names:
                yield ("claims", name), f"the path has no segment {value}"
    conditions = any(getattr(rule, key) for key in CONDITIONS)
    of_tokens = conditions or rule.authenticated or rule.max_answer_age is not None or rule.on_outage == "stale"
    if rule.public and of_tokens:
        yield (), "public lets everybody pass, so that no other condition can stand beside it"
    if not rule.public and not rule.authenticated and not conditions:
        yield (), NOBODY
    if rule.ask_in_order and len(rule.authorization_servers) < 2:
        yield ("ask_in_order",), "it is for rules that name several in authorization_server"


NOBODY: Final = (
    "it says nobody: add scopes, any_scope, claims, audience, issuer or client_ids, "
    "or authenticated: true for any active token, or public: true for everybody"
)
"""What is wrong with a rule that says nothing of who may pass."""


def is_scope(text: str) -> bool:
    """Tell whether a text can be a scope (RFC 6749 §3.3)."""
    return _SCOPE.fullmatch(text) is not None


def compile_claims(rule: Rule, path: Path) -> tuple[Claim, ...]:
    """Make the claim conditions of a rule ready to be judged."""
    compiled = []
    for name, value in rule.claims.items():
        found = _NAME.fullmatch(value) if isinstance(value, str) else None
        allowed = value if isinstance(value, tuple) else (value,)
        segment = path.names[found[1]] if found else None
        compiled.append(Claim(name, tuple(name.split(".")), () if found else allowed, segment))
    return tuple(compiled)
