"""The MCP client knows only the URL and its credentials: it discovers where to get a token (RFC 9728), and gets it."""

from __future__ import annotations

import asyncio
import os

import httpx2
from mcp.client import Client
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken


class Storage:
    """Tokens of one run, in memory."""

    def __init__(self) -> None:
        self._tokens: OAuthToken | None = None
        self._client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        """Return the tokens."""
        return self._tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """Store the tokens."""
        self._tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """Return the client's registration."""
        return self._client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """Store the client's registration."""
        self._client = client_info


async def main() -> None:
    """List the tools, and call one."""
    url = f"{os.environ['URL']}/mcp"
    auth = ClientCredentialsOAuthProvider(url, Storage(), "app", os.environ["TOKEN"], issuer=os.environ["ISSUER"])
    async with (
        httpx2.AsyncClient(auth=auth, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        print([tool.name for tool in (await client.list_tools()).tools])
        print((await client.call_tool("add", {"a": 1, "b": 2})).structured_content)


if __name__ == "__main__":
    asyncio.run(main())
