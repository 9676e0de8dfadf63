"""The header fields that the upstream receives from the enforcer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from enforcer.units import CLOSED, Switch


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardingSettings:
    """The fields that the upstream gets from the enforcer, and never from a client."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    identity: Mapping[str, str] = field(
        default_factory=lambda: {"X-Auth-Subject": "sub", "X-Auth-Client": "client_id", "X-Auth-Scope": "scope"}
    )
    """Field name: the claim that it carries. A client's own field of that name, in any spelling, is removed always;
    without such a claim the field is absent. A list is joined by blanks; all but printable ASCII is percent-encoded."""
    authorization: Literal["pass", "remove"] = "pass"
    """Whether the upstream gets the Authorization field."""
    chain: Literal["x-forwarded", "forwarded", "none"] = "x-forwarded"
    """How the upstream learns of the client: X-Forwarded-For, -Proto and -Host, or Forwarded (RFC 7239), or not."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks (10.0.0.0/8) whose own such fields are kept and added to; everybody else's are removed.
    They speak for others: whoever shows a certificate to such a proxy shows it to the enforcer with `client_cert`, and
    the proxy's own one is nobody's."""
    client_cert: Switch = False
    """Whether the Client-Cert field (RFC 9440) of a trusted proxy says which certificate its client showed, for tokens
    that are bound to one (RFC 8705). Only where every trusted proxy removes the field that a client sent: or anybody
    could show any certificate. The upstream never gets the field."""
    end_with_token: Switch = True
    """Whether a stream or tunnel ends when its token does."""
