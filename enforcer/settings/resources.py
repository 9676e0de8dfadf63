"""Protected resources: what clients may learn about an API before they have a token (RFC 9728)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Final

from enforcer.errors import SettingsError
from enforcer.settings.connections.addresses import Location, Url, parse_url
from enforcer.settings.external import Text
from enforcer.units import Pattern, Section, Switch

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
"""The beginning of the path of every metadata document (RFC 9728 §3)."""

_PATH: Final = re.compile(r"/|(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+/?")
# RFC 6749 §3.3
_SCOPE: Final = re.compile(r"[!#-\[\]-~]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectedResource(Section):
    """An API as its clients know it. Its metadata (RFC 9728) tells them where to get a token for it."""

    resource: Annotated[str, Pattern(r"^https?://[^\s#?]+$")]
    """Resource identifier: the URL that clients use, without query and fragment, such as `https://api.example.org/mcp`.
    Clients compare it with theirs as text, so write it exactly so, mostly without a slash at the end. It applies to the
    rules whose paths are at or below its path; of several resources, the one with the longest path applies."""
    name: Text | None = None
    """Name for people (`resource_name`)."""
    documentation: Url | None = None
    """URL of a page for developers (`resource_documentation`)."""
    scopes: tuple[Annotated[str, Pattern(rf"^{_SCOPE.pattern}$")], ...] | None = None
    """Scopes for basic use (`scopes_supported`), because clients request all of them. Default: the fewest scopes that
    the resource's rules for GET require, or all of its rules if none matches GET."""
    serve: Switch = True
    """Whether the enforcer responds with the metadata, to everybody, at `/.well-known/oauth-protected-resource` and the
    resource's path, and without that path if its host has no other resource. If the app does it itself: `false`, and a
    public rule for that path."""

    def __post_init__(self) -> None:
        faults: dict[tuple[str | int, ...], str] = {}
        try:
            location = parse_url(self.resource)
        except ValueError:
            faults["resource",] = "not a URL such as https://api.example.org/mcp, without user, query and fragment"
        else:
            if location.authority != location.authority.lower():
                faults["resource",] = "clients write the host in lower case, and compare the whole as text"
            elif not _PATH.fullmatch(location.target):
                faults["resource",] = "expected a path of letters, digits, hyphens, dots, _ and ~, without query"
        for index, scope in enumerate(self.scopes or ()):
            if not _SCOPE.fullmatch(scope):
                faults["scopes", index] = f"{scope!r} is not a valid scope: no spaces, quotes or backslashes"
        if faults:
            raise SettingsError(faults)

    @property
    def location(self) -> Location:
        """The parts of the identifier."""
        return parse_url(self.resource)

    @property
    def segments(self) -> tuple[bytes, ...]:
        """The segments of its path, none for the whole host."""
        return tuple(segment.encode() for segment in self.location.target.split("/") if segment)

    @property
    def metadata_url(self) -> str:
        """The URL of its metadata: the well-known path between host and path (RFC 9728 §3.1)."""
        location = self.location
        path = "" if location.target == "/" else location.target
        return f"{'https' if location.secure else 'http'}://{location.authority}{WELL_KNOWN}{path}"

    @property
    def audience(self) -> tuple[str, ...]:
        """The identifier as audiences of a token may have it: with and without a slash at the end."""
        bare = self.resource.removesuffix("/")
        return self.resource, bare if bare != self.resource else f"{bare}/"
