"""Strawberry with a query, and a subscription over a WebSocket."""

import sys
from collections.abc import AsyncGenerator

import strawberry
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute
from strawberry.asgi import GraphQL


@strawberry.type
class Query:
    """One field with an argument."""

    @strawberry.field
    def hello(self, name: str) -> str:
        """Greet a name."""
        return f"hello {name}"


@strawberry.type
class Subscription:
    """One stream."""

    @strawberry.subscription
    async def count(self, to: int) -> AsyncGenerator[int, None]:
        """Count from 0."""
        for number in range(to):
            yield number


if __name__ == "__main__":
    endpoint = GraphQL(strawberry.Schema(Query, subscription=Subscription))
    routes = [Route("/graphql", endpoint), WebSocketRoute("/graphql", endpoint)]
    uvicorn.run(Starlette(routes=routes), host="127.0.0.1", port=int(sys.argv[1]))
