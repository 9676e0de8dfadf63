"""The soak test: mixed traffic while servers are killed and the configuration changes; every response is checked.

`make soak` runs it; `SOAK_SECONDS` and `CONNECTIONS` set its length and the number of connections.
"""
