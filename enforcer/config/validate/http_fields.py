"""What the settings of other rooms must be so that they can be sent as HTTP fields."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Final

from enforcer.errors import FaultsError
from enforcer.settings.challenge import ChallengeSettings
from enforcer.settings.forwarding import ForwardingSettings
from enforcer.wire.fields import HOP_BY_HOP, TOKEN, fold

_OURS: Final = {
    *(b"host", b"content-length", b"authorization", b"dpop", b"cookie", b"via", b"forwarded"),
    *(b"client-cert", b"client-cert-chain"),
}


def check_forwarding(settings: ForwardingSettings) -> ForwardingSettings:
    """Return the settings; raises FaultsError."""
    faults: dict[tuple[str | int, ...], str] = {}
    seen: dict[bytes, str] = {}
    for name, claim in settings.identity.items():
        where = ("identity", name)
        if not TOKEN.fullmatch(name.encode()):
            faults[where] = "no field can have this name: letters, digits and hyphens make one"
        elif fold(name) in HOP_BY_HOP | _OURS or fold(name).startswith(b"x-forwarded-"):
            faults[where] = "this field has its own meaning between client, proxy and app; choose another"
        elif (first := seen.setdefault(fold(name), name)) != name:
            faults[where] = f"to many apps this is the same field as {first}; choose another"
        elif not claim:
            faults[where] = 'expected the name of a claim, found ""'
    for at, network in enumerate(settings.trusted_proxies):
        try:
            ip_network(network, strict=False)
        except ValueError:
            faults["trusted_proxies", at] = "expected an address or network, such as 10.0.0.1 or 10.0.0.0/8"
    if settings.client_cert and not settings.trusted_proxies:
        faults["client_cert",] = "needs trusted_proxies: nobody else's Client-Cert field is believed"
    if faults:
        raise FaultsError(faults)
    return settings


def check_answer_field(name: str) -> str:
    """Return the name of a field that answers get; raises ValueError."""
    if not TOKEN.fullmatch(name.encode()) or not name.lower().startswith("x-"):
        raise ValueError("expected the name of a field that is nobody else's, such as X-Enforcer-Would-Deny")
    return name


def check_challenge(settings: ChallengeSettings) -> ChallengeSettings:
    """Return the settings; raises FaultsError."""
    values = {"realm": settings.realm, "resource_metadata": settings.resource_metadata}
    faults: dict[tuple[str | int, ...], str] = {
        (name,): "expected printable ASCII"
        for name, value in values.items()
        if value is not None and not (value.isascii() and value.isprintable())
    }
    if faults:
        raise FaultsError(faults)
    return settings
