"""Checks that settings which become HTTP fields are valid as fields."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Final

from enforcer.errors import SettingsError
from enforcer.settings.challenge import ChallengeSettings
from enforcer.settings.forwarding import ForwardingSettings
from enforcer.tokens.claims import name_and_path
from enforcer.wire.fields import FORWARDING_FIELDS, HOP_BY_HOP, TOKEN, fold

_RESERVED: Final = {
    *(b"host", b"content-length", b"authorization", b"dpop", b"cookie", b"via"),
    *(b"client-cert", b"client-cert-chain"),
    *HOP_BY_HOP,
    *FORWARDING_FIELDS,
}


def check_forwarding(settings: ForwardingSettings) -> ForwardingSettings:
    """Return the settings; raises SettingsError."""
    faults: dict[tuple[str | int, ...], str] = {}
    seen: dict[bytes, str] = {}
    for name, claim in settings.identity.items():
        path = ("identity", name)
        if not TOKEN.fullmatch(name.encode()):
            faults[path] = "not a valid field name: use letters, digits and hyphens"
        elif fold(name) in _RESERVED:
            faults[path] = "this field has a meaning of its own between client, proxy and app; choose another"
        elif (first := seen.setdefault(fold(name), name)) != name:
            faults[path] = f"many apps cannot tell this field from {first}; choose another"
        elif not claim:
            faults[path] = 'expected the name of a claim, found ""'
        elif "" in name_and_path(claim)[1]:
            faults[path] = "a part of the claim's name is empty"
    for index, network in enumerate(settings.trusted_proxies):
        try:
            ip_network(network, strict=False)
        except ValueError:
            faults["trusted_proxies", index] = "expected an address or network, such as 10.0.0.1 or 10.0.0.0/8"
    if settings.client_cert and not settings.trusted_proxies:
        faults["client_cert",] = "needs trusted_proxies: the Client-Cert field is believed only from them"
    if faults:
        raise SettingsError(faults)
    return settings


def check_response_field(name: str) -> str:
    """Return the name of a field that is added to responses; raises ValueError."""
    if not TOKEN.fullmatch(name.encode()) or not name.lower().startswith("x-"):
        raise ValueError("expected the name of a field without other meaning, such as X-Enforcer-Would-Deny")
    return name


def check_challenge(settings: ChallengeSettings) -> ChallengeSettings:
    """Return the settings; raises SettingsError."""
    values = {"realm": settings.realm, "resource_metadata": settings.resource_metadata}
    faults: dict[tuple[str | int, ...], str] = {
        (name,): "expected printable ASCII"
        for name, value in values.items()
        if value is not None and not (value.isascii() and value.isprintable())
    }
    if faults:
        raise SettingsError(faults)
    return settings
