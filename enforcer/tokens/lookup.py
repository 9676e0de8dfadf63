"""One lookup of a token, as token sources get it."""

from __future__ import annotations

from typing import Final


class Lookup:
    """A token to verify, and the client that sent it, by its key in tables that clients share (`clients.client_key`).

    `known`: the token was active when it was verified last, and has not expired since. A client can make up any other
    token, so that only a known one shows by its failure that the server is in trouble.
    """

    __slots__ = ("client", "known", "token")

    def __init__(self, token: bytes, client: str, known: bool = False) -> None:
        self.token: Final = token
        self.client: Final = client
        self.known: Final = known
