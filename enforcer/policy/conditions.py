"""Conditions on claims, query parameters, fields and client addresses, compiled for the request path. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final, Literal, NamedTuple, final

from enforcer.policy.request_view import RequestView
from enforcer.policy.templates import Names, Text, fixed_text, parse_text
from enforcer.tokens.claims import UNREADABLE, claim_value, pointer_keys

Scalar = str | int | bool
ClaimTest = Mapping[Literal["all", "not", "present"], tuple[Scalar, ...] | bool]
ClaimValue = Scalar | tuple[Scalar, ...] | ClaimTest
"""The requirement of a rule for a claim: a value, one of a list, or a test: `all`, `not` or `present`."""
Network = IPv4Network | IPv6Network


@final
class Claim:
    """A condition on one claim.

    `test` is what it requires: `any` of the values, `all` of them, `not` one of them, or that the claim is `present` or
    `absent`. The values are `allowed`, compared with their types, and `texts`, compared as text.
    """

    __slots__ = ("allowed", "keys", "name", "test", "texts", "written")

    def __init__(self, name: str, written: ClaimValue, names: Names) -> None:
        """Compile a condition; raises ValueError if a placeholder stands for nothing."""
        self.name: Final = name
        self.written: Final = written
        self.keys: Final = claim_keys(name, names)
        self.test: Final = _test_of(written)
        self.allowed: list[Scalar] = []
        self.texts: list[Text] = []
        for value in values_of(written):
            text = parse_text(value, names) if isinstance(value, str) else None
            if text is None or text.fixed is not None:
                self.allowed.append(value if text is None or text.fixed is None else text.fixed)
            else:
                self.texts.append(text)

    @property
    def all_texts(self) -> list[Text]:
        """The texts with placeholders, those in the name included."""
        return self.texts if isinstance(self.keys, tuple) else [*self.texts, *self.keys]

    def holds(self, claims: Mapping[str, Any], request: RequestView) -> bool:
        """Return whether the token's claims meet the condition; no claim that is UNREADABLE meets any."""
        value = self.value(claims, request)
        if value is UNREADABLE:
            return False
        if self.test in ("present", "absent"):
            return (value is None) == (self.test == "absent")
        members = value if isinstance(value, list) else [value]
        texts = [text.fill(request) for text in self.texts]
        if self.test == "not":
            if value is None or None in texts:
                return False
            actual = [_loosely(member) for member in members]
            unwanted = [*texts, *(_loosely(scalar) for scalar in self.allowed)]
            return bool(actual) and None not in actual and not any(member in unwanted for member in actual)
        # Not `in`, because in Python True == 1.
        met = [any(type(member) is type(wanted) and member == wanted for member in members) for wanted in self.allowed]
        met += [text is not None and any(_text(member) == text for member in members) for text in texts]
        return all(met) if self.test == "all" else any(met)

    def value(self, claims: Mapping[str, Any], request: RequestView) -> Any:
        """Return the value of the claim; None if it is absent.

        UNREADABLE if the request has no text for its name, or what contains it has no names. In a list, a JSON pointer
        counts the members (RFC 6901 §4).
        """
        if isinstance(self.keys, tuple):
            return claim_value(claims, self.name, self.keys)
        value: Any = claims
        for text in self.keys:
            key = _decoded(text.fill(request))
            if not key:
                return UNREADABLE
            if isinstance(value, Mapping):
                value = value.get(key)
            elif isinstance(value, list) and self.name.startswith("/") and _INDEX.fullmatch(key):
                value = value[int(key)] if int(key) < len(value) else None
            elif value is not None:
                return UNREADABLE
        return value


_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}")


def _decoded(key: bytes | None) -> str | None:
    try:
        return None if key is None else key.decode("utf-8")
    except UnicodeDecodeError:
        return None


def claim_keys(name: str, names: Names) -> tuple[str, ...] | list[Text]:
    """Return the keys that lead to a claim: texts if the name is a JSON pointer (RFC 6901) or has a placeholder.

    Raises ValueError if the name is not valid.
    """
    parts = _parts(name)
    if parts is None:
        return tuple(name.split("."))
    keys = [parse_text(part, names) for part in parts]
    if "" in parts or keys[0].fixed is None:
        raise ValueError("the name of a claim begins with fixed text, and none of its parts is empty")
    return keys


def first_key(name: str) -> str | None:
    """Return the key of the claim that contains the one of a JSON pointer or a name with placeholders.

    None for any other name.
    """
    parts = _parts(name)
    return None if parts is None else fixed_text(parts[0])


def _parts(name: str) -> list[str] | None:
    if name.startswith("/"):
        return pointer_keys(name)
    return name.split(".") if "{" in name or "}" in name else None


def values_of(value: ClaimValue) -> tuple[Scalar, ...]:
    """Return the values that a claim is compared with."""
    if isinstance(value, Mapping):
        return tuple(item for values in value.values() if isinstance(values, tuple) for item in values)
    return value if isinstance(value, tuple) else (value,)


def _test_of(value: ClaimValue) -> str:
    if not isinstance(value, Mapping):
        return "any"
    (test,) = value
    if test == "present":
        return "present" if value[test] else "absent"
    return test


def _text(member: Any) -> bytes | None:
    if isinstance(member, str):
        return member.encode("utf-8", "surrogatepass")
    if isinstance(member, int) and not isinstance(member, bool):
        return b"%d" % member
    return None


def _loosely(member: Any) -> bytes | None:
    """Return a scalar as text whatever its type: a value of another type must not pass for another value."""
    return (b"true" if member else b"false") if isinstance(member, bool) else _text(member)


class RequestCondition(NamedTuple):
    """A condition on a query parameter (`source` is `?`) or a field (`#`): it must have one of the texts."""

    source: str
    name: str
    texts: tuple[Text, ...]

    def holds(self, request: RequestView) -> bool:
        """Return whether the request has the parameter or field in exactly one way, with one of the values."""
        value = self.value(request)
        return value is not None and any(text.fill(request) == value for text in self.texts)

    @property
    def variable(self) -> tuple[str, bytes]:
        """The source and name of what it reads."""
        return self.source, self.name.encode() if self.source == "?" else self.name.lower().encode()

    def value(self, request: RequestView) -> bytes | None:
        """Return the value of the parameter or field; None if the request has none, or not in exactly one way."""
        name = self.name.encode()
        return request.parameter(name) if self.source == "?" else request.field(name.lower())


def compile_request_conditions(
    source: str, written: Mapping[str, str | tuple[str, ...]], names: Names
) -> tuple[RequestCondition, ...]:
    """Compile the conditions on parameters or fields; raises ValueError if a placeholder stands for nothing."""
    return tuple(
        RequestCondition(
            source,
            name,
            tuple([parse_text(value, names) for value in ((values,) if isinstance(values, str) else values)]),
        )
        for name, values in written.items()
    )


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Parse addresses and networks, of IPv4 also if they are written as IPv6; raises ValueError with a hint."""
    return tuple([_parse_network(text) for text in texts])


def _parse_network(text: str) -> Network:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError("expected an address or a network, such as 192.0.2.7 or 10.0.0.0/8") from None
    if "/" in text and network.network_address != ip_address(text.partition("/")[0]):
        raise ValueError(f"the network of this address is {network}; write that, or the address only")
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    return network if mapped is None or network.prefixlen < 96 else ip_network((mapped, network.prefixlen - 96))


def is_within(address: str, networks: Sequence[Network]) -> bool:
    """Return whether an address is in one of the networks; an IPv4 address may be written as IPv6."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in networks)
