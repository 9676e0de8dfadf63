"""An MCP server with one tool, over streamable HTTP."""

from __future__ import annotations

import sys

from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings

app = MCPServer("adder")


@app.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


if __name__ == "__main__":
    # By default it accepts only its own address as Host: the client sends the enforcer's.
    security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    app.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]), transport_security=security)
