"""Cross-origin access of web pages to the enforcer's own responses (CORS, Fetch §3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from enforcer.errors import SettingsError
from enforcer.settings.connections.addresses import parse_origin
from enforcer.units import Pattern, Seconds, Section, Switch

ANY_ORIGIN: Final = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class CorsSettings(Section):
    """Which web pages may read the enforcer's own responses: refusals, errors, and answers to preflights.

    Responses of the app stay as they are: only the app knows which pages may read them.
    """

    origins: tuple[Annotated[str, Pattern(r"^(?:\*|https?://[^\s#@/?]+)$")], ...] = ()
    """Origins of the pages, such as `https://web.example.org`, or only `*` for every page. Default: no page can read
    why its request was refused."""
    credentials: Switch = False
    """Whether these pages may send cookies (`Access-Control-Allow-Credentials`). A token in a cookie is then accepted
    from them, as from the app's own pages."""
    max_age: Seconds = 600.0
    """How long a browser may remember the answer to a preflight that the enforcer gives (`cors_preflight: answer`)."""

    def __post_init__(self) -> None:
        faults: dict[tuple[str | int, ...], str] = {}
        for index, origin in enumerate(self.origins):
            if origin == ANY_ORIGIN:
                if len(self.origins) > 1:
                    faults["origins", index] = "* is every origin: remove the others"
                elif self.credentials:
                    faults["origins", index] = "any page could use the cookie: name the origins, or remove credentials"
                continue
            try:
                parse_origin(origin)
            except ValueError as error:
                faults["origins", index] = str(error)
        if self.credentials and not self.origins:
            faults["credentials",] = "needs origins"
        if faults:
            raise SettingsError(faults)
