"""Small OpenAPI documents, and the rules proposed for them."""

from __future__ import annotations

from typing import Any

from enforcer.analysis.openapi.proposals import propose
from enforcer.analysis.openapi.reader import read
from enforcer.policy.rules import Rule

SCHEMES = {
    "oauth": {"type": "oauth2"},
    "oidc": {"type": "openIdConnect"},
    "bearer": {"type": "http", "scheme": "Bearer"},
    "same": {"$ref": "#/components/securitySchemes/oauth"},
    "key": {"type": "apiKey"},
    "basic": {"type": "http", "scheme": "basic"},
    "odd": {"type": "spell"},
    "bare": {"type": "http"},
}


def document(paths: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {"title": "Shop"},
        "paths": paths,
        "components": {"securitySchemes": SCHEMES},
        **more,
    }


def one(security: Any, **more: Any) -> dict[str, Any]:
    return document({"/a": {"get": {"operationId": "a", "security": security}}}, **more)


def rules(values: Any) -> list[Rule]:
    return [proposal.rule for proposal in propose(read(values)).rules]
