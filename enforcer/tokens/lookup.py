"""One lookup of a token, as token sources get it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Lookup:
    """A token to verify, and the client that sent it, by its key in tables that clients share (`clients.client_key`).

    `known`: the token was active when it was verified last, and has not expired since. A client can make up any other
    token, so that only a known one shows by its failure that the server is in trouble.
    """

    token: bytes = field(repr=False)
    client: str
    known: bool = False
