"""The listeners of the decision API, which other proxies ask whether to forward a request."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network
from typing import Literal

from enforcer.errors import SettingsError
from enforcer.settings.connections.addresses import Address
from enforcer.settings.connections.tls import ServerTLS
from enforcer.settings.external import SecretElsewhere
from enforcer.units import Bytes, Section

ContractName = Literal["nginx", "ingress-nginx", "forwarded", "haproxy", "request", "envoy-grpc"]
"""The description of the client's request by a proxy: see docs/decision-api.md."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionListener(Section):
    """A listener that answers whether a request is allowed, for a proxy that then forwards it itself."""

    address: Address
    """Address and port, as in `listener.address`. Only the proxy should be able to connect to it."""
    contract: ContractName
    """The fields by which the proxy describes the client's request. `nginx`: X-Original-Method, X-Original-URI and
    Host; `haproxy`: the same with X-Forwarded-Host; `ingress-nginx`: X-Original-Method and X-Original-URL;
    `forwarded`: X-Forwarded-Method, -Uri and -Host (Traefik, Caddy); `request`: the request to the decision API has the
    client's own method, target and Host (Envoy, Istio, Gateway API); `envoy-grpc`: Envoy's
    `envoy.service.auth.v3.Authorization/Check`. The contract is never guessed: fields of another
    one are ignored, and a missing field is answered 400."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks (10.0.0.0/8) of the proxies that may ask; any other peer is answered 403. At least one of
    `trusted_proxies`, `secret`, or `tls` with a required client certificate is necessary, because a caller is believed
    about method, target and client; if several are set, a request must meet all of them."""
    secret: SecretElsewhere | None = None
    """Secret that the proxy must send in the field X-Enforcer-Secret, by where it is stored. The proxy must set the
    field in each request to the decision API; it is removed from requests of clients. Default: no secret."""
    message: Bytes = 128 * 1024
    """Maximum size of a message of `envoy-grpc`; a larger one is an error of the call. Envoy's messages have all fields
    of the client's request, its certificate, and a part of its body if Envoy is configured so. Bounds memory."""
    tls: ServerTLS | None = None
    """Serve TLS; with `client_ca`, only proxies with a certificate of these authorities may ask. Default: plain
    text."""

    def __post_init__(self) -> None:
        if self.tls is not None:
            self.tls.context.set_alpn_protocols(["h2", "http/1.1"])
        faults: dict[tuple[str | int, ...], str] = {}
        for index, network in enumerate(self.trusted_proxies):
            try:
                ip_network(network, strict=False)
            except ValueError:
                faults["trusted_proxies", index] = "expected an address or network, such as 10.0.0.1 or 10.0.0.0/8"
        if faults:
            raise SettingsError(faults)
        if not self.trusted_proxies and self.secret is None and not self.needs_certificate:
            raise ValueError(
                "anybody could ask for any client: set trusted_proxies, secret, or tls with a required client_ca"
            )

    @property
    def needs_certificate(self) -> bool:
        """Whether only proxies with a client certificate get a connection."""
        return self.tls is not None and self.tls.client_ca is not None and self.tls.client_certificate == "required"
