"""The composition root: clocks, environment, sockets and signals; everything is built here, once.

`serve` is the process. `assembly` makes a configuration ready to judge requests by, with `sources` for who says what a
token is worth; `listening` takes the addresses.
"""
