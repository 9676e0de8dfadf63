"""The policy and the tokens of the attack tests and the fuzzer."""

from __future__ import annotations

from collections.abc import Mapping

RULES = [
    {"name": "public", "path": "/public/**", "public": True},
    {"name": "admin", "path": "/admin/**", "scopes": ["admin"]},
    {"name": "read", "path": "/api/**", "methods": ["GET"], "scopes": ["read"]},
    {"name": "write", "path": "/api/**", "methods": ["POST"], "scopes": ["write"]},
]
CLAIMS: Mapping[str, Mapping[str, object]] = {
    "R": {"scope": "read", "sub": "reader", "client_id": "reading"},
    "W": {"scope": "write", "sub": "writer", "client_id": "writing"},
    "ADM": {"scope": "admin", "sub": "administrator", "client_id": "managing"},
    "N": {"scope": "read"},  # neither subject nor client
    # Bound to a key (RFC 9449 §6.1) and to a certificate (RFC 8705 appendix A): useless without a proof of possession
    "K": {"scope": "read write admin", "cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}},
    "C": {"scope": "read write admin", "cnf": {"x5t#S256": "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"}},
}
"""Claims of the active tokens, by kind; a token is its kind, `~`, and a number."""
