"""The client credentials grant (RFC 6749 §4.4)."""

from authserver.clients import Client
from authserver.errors import OAuthError
from authserver.forms import Form, required
from authserver.tokens import LIFETIME, Token

GRANT_TYPES = ("client_credentials",)


def grant(client: Client, form: Form, *, issuer: str, jti: str, now: int, key: str | None = None) -> Token:
    """Return the token for a token request; `key` is the thumbprint of the DPoP key to bind it to.

    Raises `OAuthError`: unsupported_grant_type, unauthorized_client, invalid_scope, invalid_request.
    """
    if required(form, "grant_type") not in GRANT_TYPES:
        raise OAuthError("unsupported_grant_type", "the only supported grant type is client_credentials")
    if not client.scopes:
        raise OAuthError("unauthorized_client", "the client is registered without scopes, so it gets no tokens")
    # RFC 6749 §3.3: a request without scope gets a default, here all scopes of the client.
    scopes = form["scope"].split(" ") if "scope" in form else client.scopes
    if not set(scopes) <= set(client.scopes):
        raise OAuthError("invalid_scope", f"the client may request: {' '.join(client.scopes)}")
    cnf = None if key is None else {"jkt": key}
    if client.certificate_thumbprint is not None:
        if key is not None:
            raise OAuthError("invalid_request", "the tokens of this client are bound to its certificate, not to a key")
        cnf = {"x5t#S256": client.certificate_thumbprint}
    return Token(
        jti=jti,
        iss=issuer,
        client_id=client.client_id,
        aud=client.audience,
        scope=" ".join(dict.fromkeys(scopes)),
        iat=now,
        exp=now + LIFETIME,
        cnf=cnf,
    )
