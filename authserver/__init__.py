"""A small OAuth 2.0 authorization server for development and tests.

Without I/O: `clients` (the registered clients), `forms` (request parameters), `authentication` (of clients), `grants`
(which scopes a client gets), `dpop` (the key that a token is bound to), `tokens` (access tokens and their claims),
`signing` (JWTs), `metadata` (RFC 8414) and `errors` (error responses). With I/O: `store` (SQLite), `endpoints` (token,
introspection and revocation), `app` (HTTP) and the command line, `python -m authserver`.
"""
