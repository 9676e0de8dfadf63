"""Rules as a user writes them: who may do what.

1. A rule says who is allowed: `public`, `authenticated`, or at least one condition on the token. A rule without any of
   these is an error, never open.
2. All conditions must be met. A condition that cannot be checked is not met.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

from enforcer.errors import SettingsError
from enforcer.policy.conditions import Claim, Scalar, compile_request_conditions, parse_networks, values_of
from enforcer.policy.templates import Names, Path, field_names, fixed_text, names_of, parse_text
from enforcer.settings.token_places import TokenPlaces
from enforcer.tokens.introspection.metadata import PLACEHOLDER, is_template
from enforcer.units import Pattern, Seconds, Section, Switch
from enforcer.wire.fields import why_unreadable

Mode = Literal["enforce", "report"]
"""Treatment of a denied request: it is refused, or forwarded and counted as would_deny."""
Preflight = Literal["allow", "answer", "judge"]
"""Treatment of a CORS preflight: forwarded without a token, answered by the enforcer, or as other OPTIONS requests."""

_STRINGS: Final = ("sub", "client_id", "aud", "iss")
"""Claims whose values are read as strings, also if the server sends a number."""
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 §3.3
_METHOD = re.compile(r"[A-Z][A-Z-]*")
# CONNECT: RFC 9110 §9.3.6. The others belong to HTTP/2, ICE and RTSP, but llhttp accepts them too.
UNSERVED: Final = frozenset(
    b"CONNECT PRI SOURCE DESCRIBE ANNOUNCE SETUP PLAY PAUSE TEARDOWN REDIRECT RECORD FLUSH "
    b"GET_PARAMETER SET_PARAMETER".split()
)
"""Methods that no rule matches: CONNECT turns a proxy into a tunnel, and the others are not HTTP methods."""
_HOST = re.compile(
    r"(?:(?:\*|\{[A-Za-z_][A-Za-z0-9_]*\})\.)?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\]|[0-9.]+"
)


Method = Annotated[str, Pattern(rf"^{_METHOD.pattern}$", tuple(sorted(map(bytes.decode, UNSERVED))))]
Scope = Annotated[str, Pattern(r"^[!#-\[\]-~]+$")]
PathTemplate = Annotated[str, Pattern(r"^/(?:[^/*]+/)*(?:[^/*]*|\*\*)$")]


Delimiter = Literal["slash", "backslash", "semicolon", "question_mark", "hash", "percent"]
ClaimTest = Mapping[Literal["all", "not", "present"], tuple[Scalar, ...] | Switch]
Texts = str | tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions(Section):
    """Conditions, all of which must be met.

    In texts, `{name}` stands for the path segment or host label of that name, `{?name}` for a query parameter,
    `{#name}` for a header field; `{{` and `}}` are braces.
    """

    scopes: tuple[Scope, ...] = ()
    """Scopes that the token must have, all of them; `$name` stands for the scopes of a set in `scope_sets`."""
    any_scope: tuple[Scope, ...] = ()
    """Scopes of which the token must have at least one; `$name` stands for the scopes of a set in `scope_sets`. The
    challenge of a refusal names the least: the first that includes no other one."""
    claims: Mapping[str, Scalar | tuple[Scalar, ...] | ClaimTest] = field(default_factory=dict, hash=False)
    """Claims that the token must have: a value, a list of which one value must match, or a test: `{all: [a, b]}`,
    `{not: [guest]}`, `{present: false}`. A dotted name, or a JSON pointer (`/a/b`), reaches into nested claims."""
    audience: tuple[str, ...] = ()
    """Audiences of which the token must have at least one."""
    issuer: tuple[str, ...] = ()
    """Issuers of which one must have issued the token."""
    client_ids: tuple[str, ...] = ()
    """Clients of which one must be the token's client."""
    acr: tuple[str, ...] = ()
    """Authentication context classes (claim `acr`) of which the token must have one, the preferred first (RFC 9470)."""
    max_auth_age: Seconds | None = None
    """Maximum time since the user was authenticated (claim `auth_time`; RFC 9470)."""
    query: Mapping[str, Texts] = field(default_factory=dict, hash=False)
    """Query parameters that the request must have, each exactly once, with a value or one of a list."""
    headers: Mapping[str, Texts] = field(default_factory=dict, hash=False)
    """Header fields that the request must have, each exactly once, with a value or one of a list."""
    addresses: tuple[str, ...] = ()
    """Addresses and networks of which one must be the client's, behind `forwarding.trusted_proxies`."""

    def __post_init__(self) -> None:
        _refuse(_faults_of_conditions(self))

    @property
    def alternatives(self) -> tuple[Conditions, ...]:
        """Alternatives of which one must be met; none if there is no such condition."""
        return ()

    @property
    def needs_only_scopes(self) -> bool:
        """Whether a token with other scopes would certainly do."""
        written = {key for key in Conditions.__dataclass_fields__ if getattr(self, key)}
        return bool(written) and written <= {"scopes", "any_scope"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleDefaults(Conditions):
    """The keys of a rule that `rule_defaults` may set."""

    methods: tuple[Method, ...] = ()
    """Methods that the rule matches; GET includes HEAD. Default: every method except CONNECT."""
    host: Annotated[str, Pattern(rf"^(?:{_HOST.pattern})$")] | None = None
    """Host that the rule matches, without port; `*.example.org` matches any first label, and
    `{tenant}.example.org` gives it a name. Default: every host."""
    encoded: tuple[Delimiter, ...] = ()
    """Delimiters that the app keeps as bytes of a path segment: `slash` (`%2F`), `backslash` (`%5C` and itself),
    `semicolon` (`%3B` and itself), `question_mark`, `hash`, `percent` (`%25`; the app decodes only once). Default: the
    app may read them as delimiters; a path that has other rules, or other values of `{name}`, then is refused."""
    authenticated: Switch = False
    """Allow every active token, whatever its scopes."""
    any_of: tuple[Conditions, ...] = ()
    """Alternatives, each a mapping of conditions, of which one must be met besides the rule's other conditions."""
    upstream: str | None = None
    """Name of the upstream, one of `upstreams`. Default: `upstream`."""
    authorization_server: str | tuple[str, ...] | None = None
    """Name of the authorization server whose tokens are accepted, or a list of names. Default: the configuration's
    first. A JWT is verified by the server whose `issuer` it names, any other token only by the first of the list."""
    ask_in_order: Switch = False
    """If a token names no issuer and is unknown to the first authorization server, ask the rule's other ones too, in
    order. This sends the token to servers that did not issue it."""
    token_from: TokenPlaces | None = None
    """Places of a request that the token is read from. Default: `{bearer: true}`. A public rule reads no token, but
    removes it from the other places as well."""
    max_answer_age: Seconds | None = None
    """Maximum age of a cached verification result for this rule. Default: the cache's `ttl`."""
    on_outage: Literal["deny", "stale"] = "deny"
    """Behaviour during an outage of the authorization server: `deny`, or use a `stale` cached result for up to the
    cache's `stale` after its time."""
    mode: Mode | None = None
    """Whether a denied request is refused (`enforce`), or forwarded and only reported (`report`). Default: the
    configuration's `mode`."""
    cors_preflight: Preflight | None = None
    """Whether a CORS preflight for one of the rule's methods passes without a token (`allow`), is answered by the
    enforcer for the pages of `cors.origins` (`answer`), or is treated like any other OPTIONS request (`judge`).
    Default: the configuration's `cors_preflight`."""

    def __post_init__(self) -> None:
        _refuse(_faults(self))

    @property
    def alternatives(self) -> tuple[Conditions, ...]:
        return self.any_of

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
    """Path template: `{name}` matches one segment, or with text around it a part of one; `**` at the end matches the
    rest. The most specific path applies."""
    paths: tuple[PathTemplate, ...] = ()
    """Several path templates instead of `path`: the rule is the same for each of them."""
    public: Switch = False
    """Allow everybody, without a token."""
    nobody: Switch = False
    """Allow nobody, whatever the token."""

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

CONDITIONS: Final = (
    *("scopes", "any_scope", "claims", "audience", "issuer", "client_ids", "acr", "max_auth_age", "any_of"),
)
"""Keys of a rule that are conditions on the token."""
REQUEST_CONDITIONS: Final = ("query", "headers", "addresses")
"""Keys of a rule that are conditions on the request only; a public rule may have them."""
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
    yield from _faults_of_conditions(rule)
    if rule.host is not None and not is_host(rule.host):
        yield ("host",), "expected a name without port, such as app.example.org or *.example.org"
    for index, alternative in enumerate(rule.any_of):
        if not any(getattr(alternative, key) for key in Conditions.__dataclass_fields__):
            yield ("any_of", index), "an alternative without a condition, which every token meets"
    if rule.token_from is not None and rule.token_from.header is not None:
        if fault := why_unreadable(rule.token_from.header):
            yield ("token_from", "header"), fault.replace("no condition can read", "no token can be read from", 1)
        for path, name in fields_read(rule):
            if name.lower() == rule.token_from.header.lower():
                yield path, f"no condition can read {name}: it has the token (token_from)"
    servers = rule.authorization_servers
    if rule.authorization_server == ():
        yield ("authorization_server",), "expected at least one, found an empty list"
    for index, server in enumerate(servers):
        if server in servers[:index]:
            yield ("authorization_server", index), f"duplicate authorization server {server}"


def _faults_of_conditions(rule: Conditions) -> Iterator[Fault]:
    for key, scopes in (("scopes", rule.scopes), ("any_scope", rule.any_scope)):
        for index, scope in enumerate(scopes):
            if not is_scope(scope):
                yield (key, index), f"{scope!r} is not a valid scope: no spaces, quotes or backslashes"
    for name, value in rule.claims.items():
        if isinstance(value, Mapping) and (fault := _fault_of_test(value)):
            yield ("claims", name), fault
        elif value == ():
            yield ("claims", name), "an empty list, which no token can meet"
        elif name.removeprefix("/") in ("scope", "scp"):
            yield ("claims", name), "write scopes or any_scope, which read it as a string and as a list"
        elif name.removeprefix("/") in _STRINGS and not all(isinstance(item, str) for item in values_of(value)):
            yield ("claims", name), 'the claim is always read as a string; write the value in quotes: "42"'
    for index, issuer in enumerate(rule.issuer):
        if is_template(issuer):
            yield ("issuer", index), PLACEHOLDER
    for key, texts in (("audience", rule.audience), ("client_ids", rule.client_ids), ("acr", rule.acr)):
        for index, text in enumerate(texts):
            if fixed_text(text) is None:
                yield (key, index), f"{key} has no placeholders; write each value, or use claims"
    for name in rule.query:
        if fixed_text(name) is None:
            yield ("query", name), "the name of a parameter has no placeholders"
    for key, values_by_name in (("query", rule.query), ("headers", rule.headers)):
        for name, values in values_by_name.items():
            if values == ():
                yield (key, name), "an empty list, which no request can meet"
    for path, name in fields_read(rule):
        if fault := why_unreadable(name):
            yield path, fault
    for index, address in enumerate(rule.addresses):
        try:
            parse_networks([address])
        except ValueError as error:
            yield ("addresses", index), str(error)


def _fault_of_test(test: ClaimTest) -> str | None:
    if len(test) != 1:
        return "a test has exactly one key: all, not or present"
    ((name, value),) = test.items()
    if (name == "present") != isinstance(value, bool):
        return f"{name} needs {'true or false' if name == 'present' else 'a list'}"
    return "an empty list" if value == () else None


def fields_read(rule: Conditions) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield each field that the conditions read, with the path of the value that names it."""
    for name in rule.headers:
        yield ("headers", name), name
    for index, alternative in enumerate(rule.alternatives):
        for name in alternative.headers:
            yield ("any_of", index, "headers", name), name
    for path, text in written_texts(rule):
        for name in field_names(text):
            yield path, name


def written_texts(rule: Conditions) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield each text that may have placeholders, with the path of the value that has it."""
    for key, scopes in (("scopes", rule.scopes), ("any_scope", rule.any_scope)):
        for index, scope in enumerate(scopes):
            yield (key, index), scope
    for name, value in rule.claims.items():
        for text in (name, *values_of(value)):
            if isinstance(text, str):
                yield ("claims", name), text
    for key, values in (("query", rule.query), ("headers", rule.headers)):
        for name, texts in values.items():
            for text in (texts,) if isinstance(texts, str) else texts:
                yield (key, name), text
    for index, alternative in enumerate(rule.alternatives):
        for path, text in written_texts(alternative):
            yield ("any_of", index, *path), text


def _faults_of_texts(rule: Conditions, names: Names) -> Iterator[Fault]:
    """Yield the texts with a placeholder that stands for nothing."""
    for key, scopes in (("scopes", rule.scopes), ("any_scope", rule.any_scope)):
        for index, scope in enumerate(scopes):
            try:
                parse_text(scope, names)
            except ValueError as error:
                yield (key, index), str(error)
    for name, value in rule.claims.items():
        try:
            Claim(name, value, names)
        except ValueError as error:
            yield ("claims", name), str(error)
    for key, source, values in (("query", "?", rule.query), ("headers", "#", rule.headers)):
        for name, texts in values.items():
            try:
                compile_request_conditions(source, {name: texts}, names)
            except ValueError as error:
                yield (key, name), str(error)
    for index, alternative in enumerate(rule.alternatives):
        for path, message in _faults_of_texts(alternative, names):
            yield ("any_of", index, *path), message


def _faults_of_rule(rule: Rule) -> Iterator[Fault]:
    if not rule.name or not rule.name.isprintable() or rule.name.startswith("_") or len(rule.name) > 100:
        yield ("name",), "a name is 1 to 100 printable characters and does not begin with _"
    yield from _faults_of_paths(rule)
    conditions = any(getattr(rule, key) for key in CONDITIONS)
    limits = any(getattr(rule, key) for key in REQUEST_CONDITIONS)
    if rule.nobody and (conditions or limits or rule.public or rule.authenticated):
        yield (), "nobody: true allows no request; remove it, or every condition"
        return
    needs_token = conditions or rule.authenticated or rule.max_answer_age is not None or rule.on_outage == "stale"
    if rule.public and needs_token:
        yield (), "public allows everybody; remove it, or every other condition"
    if not rule.public and not rule.nobody and not rule.authenticated and not conditions:
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
            names = names_of(Path.parse(template), rule.host)
        except ValueError as error:
            yield place, str(error)
            continue
        where = "neither path" if rule.path is not None else f"neither the path {template}"
        for path, message in _faults_of_texts(rule, names):
            yield path, message.replace("neither path", where, 1)


_ALLOWS_NOBODY: Final = (
    "allows nobody: add a condition on the token, such as scopes, any_scope, claims, audience, issuer or client_ids, "
    "or authenticated: true for any active token, or public: true for everybody, or say nobody: true"
)
"""The error of a rule without condition."""


def is_scope(text: str) -> bool:
    """Return whether a text is a valid scope (RFC 6749 §3.3)."""
    return _SCOPE.fullmatch(text) is not None


def is_host(text: str) -> bool:
    """Return whether a text is a valid `host` of a rule."""
    return _HOST.fullmatch(text) is not None
