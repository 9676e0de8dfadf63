"""The client credentials grant (RFC 6749 §4.4)."""

from authserver.clients import Client
from authserver.errors import OAuthError
from authserver.forms import Form, required
from authserver.tokens import LIFETIME, Token

GRANT_TYPES = ("client_credentials",)


def grant(client: Client, form: Form, *, issuer: str, jti: str, now: int, key: str | None = None) -> Token:
    """Return the token that the client gets for its request; `key` is the thumbprint of the one that it is bound to.

    Raises `OAuthError`: unsupported_grant_type, unauthorized_client, invalid_scope, invalid_request.
    """
    if required(form, "grant_type") not in GRANT_TYPES:
        raise OAuthError("unsupported_grant_type", "the grant type is client_credentials")
    if not client.scopes:
        raise OAuthError("unauthorized_client", "the client is registered without scopes and gets no token")
    # RFC 6749 §3.3: a client that asks for no scope gets a default, here all that it is registered for.
    scopes = form["scope"].split(" ") if "scope" in form else client.scopes
    if not set(scopes) <= set(client.scopes):
        raise OAuthError("invalid_scope", f"the client may ask for: {' '.join(client.scopes)}")
    cnf = None if key is None else {"jkt": key}
    if client.certificate_thumbprint is not None:
        if key is not None:
            raise OAuthError("invalid_request", "tokens of the client are bound to its certificate, not to a key")
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
