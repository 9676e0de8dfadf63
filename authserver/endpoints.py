"""The operations of the endpoints, without HTTP and client authentication."""

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from joserfc.jwk import RSAKey

from authserver import signing, tokens
from authserver.clients import Client
from authserver.dpop import proof_key_thumbprint
from authserver.errors import OAuthError
from authserver.forms import Form, required
from authserver.grants import grant
from authserver.metadata import TOKEN_PATH
from authserver.store import TokenStore
from authserver.tokens import JsonObject

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Endpoints:
    """The operations of one authorization server.

    Each takes the authenticated client, the request parameters and the current time in whole seconds, and returns the
    JSON object of the 200 response, or raises `OAuthError`.
    """

    issuer: str
    key: RSAKey
    store: TokenStore

    def token(self, client: Client, form: Form, now: int, proofs: Sequence[str] = ()) -> JsonObject:
        """Issue an access token (RFC 6749 §4.4.3), bound to the key of the DPoP proof if there is one (RFC 9449 §5)."""
        key = proof_key_thumbprint(proofs, method="POST", url=self.issuer + TOKEN_PATH, now=now)
        token = grant(client, form, issuer=self.issuer, jti=str(uuid.uuid4()), now=now, key=key)
        if client.token_format == "jwt":  # noqa: S105 - a format
            access_token = signing.sign(tokens.claims(token), self.key)
        else:
            access_token = tokens.new_opaque_token()
        self.store.add(tokens.digest(access_token), token, now)
        log.info("issued %s (%s) to %s: %s", token.jti, client.token_format, client.client_id, token.scope)
        return {
            "access_token": access_token,
            "scope": token.scope,
            "token_type": tokens.token_type(token),
            "expires_in": tokens.expires_in(token, now),
        }

    def introspect(self, client: Client, form: Form, now: int) -> JsonObject:
        """Return the introspection response for a token (RFC 7662 §2)."""
        if not client.may_introspect:
            raise OAuthError("unauthorized_client", "the client may not introspect", status=403)
        access_token = required(form, "token")
        return tokens.introspection(self.store.find(tokens.digest(access_token)), now)

    def revoke(self, client: Client, form: Form, now: int) -> JsonObject:
        """Revoke a token of the client. An unknown token is not an error (RFC 7009 §2.2)."""
        digest = tokens.digest(required(form, "token"))
        token = self.store.find(digest)
        if token is not None:
            # RFC 7009 §2.1: a client may only revoke tokens that were issued to it.
            if token.client_id != client.client_id:
                raise OAuthError("invalid_grant", "the token was issued to another client")
            self.store.remove(digest)
            log.info("revoked %s of %s", token.jti, client.client_id)
        return {}
