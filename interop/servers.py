"""The authorization servers, and what is to be expected of each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

HERE: Final = Path(__file__).parent

Format = Literal["opaque", "jwt"]
Verify = Literal["introspect", "jwt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One walk: which client gets which kind of token, how the enforcer verifies it, and who its holder is."""

    format: Format
    verify: Verify = "introspect"
    client: str = "country-client"
    parameters: Mapping[str, str] = field(default_factory=dict)
    """What the token request has besides."""
    subject: str | None = None
    """What the app is told in X-Auth-Subject; the field is absent where it is None."""
    revocable: bool = True
    """Whether a token that its client revoked is refused."""

    @property
    def name(self) -> str:
        """What the table calls it."""
        return {"introspect": f"{self.format}, introspected", "jwt": "jwt, verified here"}[self.verify]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server; paths are those of its endpoints, `pinned` the file and the pattern that tell its version."""

    name: str
    pinned: tuple[str, str]
    ready: str
    token: str
    revocation: str
    runs: tuple[Run, ...]

    @property
    def folder(self) -> Path:
        """Where it is started from."""
        return HERE / self.name

    @property
    def version(self) -> str:
        """The version that is installed."""
        file, pattern = self.pinned
        (version,) = re.findall(pattern, (self.folder / file).read_text("utf-8"))
        return str(version)


SERVERS: Final = (
    Server(
        name="oidc-provider",
        pinned=("package.json", r'"oidc-provider": "(.+)"'),
        ready="/.well-known/openid-configuration",
        token="/token",  # noqa: S106 - a path
        revocation="/token/revocation",
        # A token of client credentials has no sub. It introspects no JWTs: they are to be verified by their keys.
        runs=(Run(format="opaque"),),
    ),
    Server(
        name="django-oauth-toolkit",
        pinned=("requirements.in", r"==(.+)"),
        ready="/o/.well-known/oauth-authorization-server",
        token="/o/token/",  # noqa: S106 - a path
        revocation="/o/revoke_token/",
        # It issues no JWTs.
        runs=(Run(format="opaque"),),
    ),
    Server(
        name="authlib",
        pinned=("requirements.in", r"authlib==(.+)"),
        ready="/jwks",
        token="/token",  # noqa: S106 - a path
        revocation="/revoke",
        runs=(
            Run(format="opaque", subject="country-client"),
            Run(
                format="jwt",
                client="country-client-jwt",
                subject="country-client-jwt",
                revocable=False,
            ),
        ),
    ),
    Server(
        name="spring-authorization-server",
        pinned=("pom.xml", r"<spring-security.version>(.+)</"),
        ready="/oauth2/jwks",
        token="/oauth2/token",  # noqa: S106 - a path
        revocation="/oauth2/revoke",
        runs=(
            Run(format="opaque", subject="country-client"),
            Run(
                format="jwt",
                client="country-client-jwt",
                subject="country-client-jwt",
            ),
        ),
    ),
    Server(
        name="keycloak",
        pinned=("pom.xml", r"<artifactId>keycloak-quarkus-dist</artifactId>\s*<version>(.+)</version>"),
        ready="/realms/countries/.well-known/openid-configuration",
        token="/realms/countries/protocol/openid-connect/token",  # noqa: S106 - a path
        revocation="/realms/countries/protocol/openid-connect/revoke",
        # It issues no opaque tokens. The subject is the client's service account.
        runs=(
            Run(
                format="jwt",
                client="country-client-jwt",
                subject="6f1c2c1e-7d0d-4a55-9a39-0c8b5a1d2e3f",
            ),
        ),
    ),
)
