"""The error responses of the authorization server."""

from typing import Literal

ErrorCode = Literal[
    "invalid_client",
    "invalid_dpop_proof",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "unauthorized_client",
    "unsupported_grant_type",
]


class OAuthError(Exception):
    """An error response of RFC 6749 §5.2 or RFC 9449 §5.

    `description` is for people. It only has characters that the RFC allows (ASCII without `"` and `\\`), and contains
    nothing that the client sent.
    """

    def __init__(self, code: ErrorCode, description: str, status: int = 400) -> None:
        super().__init__(code, description)
        self.code = code
        self.description = description
        self.status = status
