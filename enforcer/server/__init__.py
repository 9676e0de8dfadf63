"""The composition root: clocks, environment, sockets and signals; everything is built here, once.

`serve` is the process, and `reloading` keeps the configuration that it serves by. `assembly` makes one ready to judge
requests by, with `sources` for who says what a token is worth, and with the `parts` that it shares with the one before;
`listening` takes the addresses.
"""
