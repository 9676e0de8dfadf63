"""The authorization servers, and the expected behaviour of each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

HERE: Final = Path(__file__).parent

TokenFormat = Literal["opaque", "jwt"]
Method = Literal["introspect", "jwt", "private_key_jwt", "own_token", "signed_answers"]
"""The enforcer's verification method; its settings are in a file of this name.

`introspect`: introspection with a client secret; `private_key_jwt`: with a signed client assertion; `own_token`: with
an access token of the enforcer; `signed_answers`: with signed responses. `jwt`: the server's keys, no introspection.
"""

_NAMES: Final[Mapping[Method, str]] = {
    "introspect": "{}, introspected",
    "jwt": "{}, by keys",
    "private_key_jwt": "{}, introspected with a key",
    "own_token": "{}, introspected with an own token",
    "signed_answers": "{}, introspected with signed answers",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One walk: the token format, how the enforcer verifies the token, and the identity that the app gets."""

    format: TokenFormat
    method: Method = "introspect"
    client: str = "country-client"
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Additional parameters of the token request."""
    subject: str | None = None
    """The app's X-Auth-Subject; None if the field is absent."""
    names_client: bool = True
    """True if the app gets X-Auth-Client."""
    revocable: bool = True
    """True if a token is refused after its client revoked it."""
    unread: Mapping[str, str] | None = None
    """Additional parameters of a request for a token that the server's introspection endpoint does not support."""

    @property
    def name(self) -> str:
        """The column of the table."""
        return _NAMES[self.method].format(self.format)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationServer:
    """An authorization server.

    `ready`, `token` and `revocation` are paths; `pinned` is a file and the pattern that matches the version in it.
    """

    name: str
    pinned: tuple[str, str]
    ready: str
    token: str
    revocation: str
    scenarios: tuple[Scenario, ...]

    @property
    def folder(self) -> Path:
        """The folder with its `start` script."""
        return HERE / self.name

    @property
    def version(self) -> str:
        """The pinned version."""
        file, pattern = self.pinned
        (version,) = re.findall(pattern, (self.folder / file).read_text("utf-8"))
        return str(version)


_RESOURCE: Final = {"resource": "https://countries.example"}
"""The resource that the token is meant for (RFC 8707)."""
_ACCOUNT: Final = "6f1c2c1e-7d0d-4a55-9a39-0c8b5a1d2e3f"

SERVERS: Final = (
    AuthorizationServer(
        name="oidc-provider",
        pinned=("package.json", r'"oidc-provider": "(.+)"'),
        ready="/.well-known/openid-configuration",
        token="/token",  # noqa: S106 - a path
        revocation="/token/revocation",
        # Tokens of the client credentials grant have no `sub`. JWTs are not introspected, only verified with the keys.
        scenarios=(
            Scenario(format="opaque", unread=_RESOURCE),
            Scenario(format="opaque", method="private_key_jwt"),
            Scenario(format="opaque", method="signed_answers"),
            Scenario(format="jwt", method="jwt", subject="country-client", parameters=_RESOURCE),
        ),
    ),
    AuthorizationServer(
        name="django-oauth-toolkit",
        pinned=("requirements.in", r"==(.+)"),
        ready="/o/.well-known/oauth-authorization-server",
        token="/o/token/",  # noqa: S106 - a path
        revocation="/o/revoke_token/",
        # It issues no JWTs.
        scenarios=(Scenario(format="opaque"), Scenario(format="opaque", method="own_token")),
    ),
    AuthorizationServer(
        name="authlib",
        pinned=("requirements.in", r"authlib==(.+)"),
        ready="/jwks",
        token="/token",  # noqa: S106 - a path
        revocation="/revoke",
        scenarios=(
            Scenario(format="opaque", subject="country-client"),
            Scenario(format="jwt", client="country-client-jwt", subject="country-client-jwt", revocable=False),
            Scenario(format="jwt", method="jwt", client="country-client-jwt", subject="country-client-jwt"),
        ),
    ),
    AuthorizationServer(
        name="spring-authorization-server",
        pinned=("pom.xml", r"<spring-security.version>(.+)</"),
        ready="/oauth2/jwks",
        token="/oauth2/token",  # noqa: S106 - a path
        revocation="/oauth2/revoke",
        scenarios=(
            Scenario(format="opaque", subject="country-client"),
            Scenario(format="jwt", client="country-client-jwt", subject="country-client-jwt"),
            # Its JWTs have no `client_id`, but a `sub`, which is the client.
            Scenario(
                format="jwt",
                method="jwt",
                client="country-client-jwt",
                subject="country-client-jwt",
                names_client=False,
            ),
        ),
    ),
    AuthorizationServer(
        name="keycloak",
        pinned=("pom.xml", r"<artifactId>keycloak-quarkus-dist</artifactId>\s*<version>(.+)</version>"),
        ready="/realms/countries/.well-known/openid-configuration",
        token="/realms/countries/protocol/openid-connect/token",  # noqa: S106 - a path
        revocation="/realms/countries/protocol/openid-connect/revoke",
        # It issues no opaque tokens. The subject is the client's service account.
        scenarios=(
            Scenario(format="jwt", client="country-client-jwt", subject=_ACCOUNT),
            Scenario(format="jwt", method="jwt", client="country-client-jwt", subject=_ACCOUNT),
        ),
    ),
)
