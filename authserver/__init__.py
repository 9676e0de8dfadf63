"""An OAuth 2.0 authorization server for development and tests, small and real.

Values, without I/O: `clients` (who is registered), `forms` and `authentication` (who asks), `grants` (what they may
have), `dpop` (the key that a token is bound to), `tokens` (what an access token stands for), `signing` (its form as a
JWT), `metadata` (what the server says of itself), `errors` (how it refuses). Around them: `store` (SQLite), `endpoints`
(the three acts, joined together), `app` (HTTP) and the command line, `python -m authserver`.
"""
