"""The authorization servers, and what is to be expected of each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

HERE: Final = Path(__file__).parent

Format = Literal["opaque", "jwt"]
How = Literal["introspect", "jwt", "private_key_jwt", "own_token", "signed_answers"]
"""What the settings say, in a file of this name: ask with a secret, verify by keys and ask nobody, ask by a key's
signature, ask with a token of the enforcer's own, have the answers signed."""

_NAMES: Final[Mapping[How, str]] = {
    "introspect": "{}, introspected",
    "jwt": "{}, by keys",
    "private_key_jwt": "{}, introspected with a key",
    "own_token": "{}, introspected with an own token",
    "signed_answers": "{}, introspected with signed answers",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One walk: which client gets which kind of token, how the enforcer learns its worth, and who its holder is."""

    format: Format
    how: How = "introspect"
    client: str = "country-client"
    parameters: Mapping[str, str] = field(default_factory=dict)
    """What the token request has besides."""
    subject: str | None = None
    """What the app is told in X-Auth-Subject; the field is absent where it is None."""
    names_client: bool = True
    """Whether the app is told the client in X-Auth-Client."""
    revocable: bool = True
    """Whether a token that its client revoked is refused."""
    unread: Mapping[str, str] | None = None
    """What the request for a token has besides that the server's introspection cannot read."""

    @property
    def name(self) -> str:
        """What the table calls it."""
        return _NAMES[self.how].format(self.format)


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


_RESOURCE: Final = {"resource": "https://countries.example"}
"""RFC 8707: the token is for this app."""
_ACCOUNT: Final = "6f1c2c1e-7d0d-4a55-9a39-0c8b5a1d2e3f"

SERVERS: Final = (
    Server(
        name="oidc-provider",
        pinned=("package.json", r'"oidc-provider": "(.+)"'),
        ready="/.well-known/openid-configuration",
        token="/token",  # noqa: S106 - a path
        revocation="/token/revocation",
        # A token of client credentials has no sub. It introspects no JWTs: they are to be verified by their keys.
        runs=(
            Run(format="opaque", unread=_RESOURCE),
            Run(format="opaque", how="private_key_jwt"),
            Run(format="opaque", how="signed_answers"),
            Run(format="jwt", how="jwt", subject="country-client", parameters=_RESOURCE),
        ),
    ),
    Server(
        name="django-oauth-toolkit",
        pinned=("requirements.in", r"==(.+)"),
        ready="/o/.well-known/oauth-authorization-server",
        token="/o/token/",  # noqa: S106 - a path
        revocation="/o/revoke_token/",
        # It issues no JWTs.
        runs=(Run(format="opaque"), Run(format="opaque", how="own_token")),
    ),
    Server(
        name="authlib",
        pinned=("requirements.in", r"authlib==(.+)"),
        ready="/jwks",
        token="/token",  # noqa: S106 - a path
        revocation="/revoke",
        runs=(
            Run(format="opaque", subject="country-client"),
            Run(format="jwt", client="country-client-jwt", subject="country-client-jwt", revocable=False),
            Run(format="jwt", how="jwt", client="country-client-jwt", subject="country-client-jwt"),
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
            Run(format="jwt", client="country-client-jwt", subject="country-client-jwt"),
            # What a JWT of it names is the subject, which is the client.
            Run(format="jwt", how="jwt", client="country-client-jwt", subject="country-client-jwt", names_client=False),
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
            Run(format="jwt", client="country-client-jwt", subject=_ACCOUNT),
            Run(format="jwt", how="jwt", client="country-client-jwt", subject=_ACCOUNT),
        ),
    ),
)
