"""JSON Web Tokens and keys (RFC 7515, 7517, 7519), and access tokens verified by their signature (RFC 9068)."""
