"""The soak: hours of mixed traffic in minutes, servers killed under it, and every answer checked.

Run by `make soak`; `SOAK_SECONDS` and `CONNECTIONS` change how long and how many.
"""
