"""The composition root: everything is built here, once, and connected to clocks, environment, sockets and signals.

Read `serve` first (the process: start, signals, stop), then `reloading` (the configuration in force and its successor)
and `assembly` (from a configuration to a snapshot). `verifiers` and `sources` build the token verifiers, `resources`
shares what a reload need not rebuild, `listening` opens the sockets, `start_report` logs what runs.
"""
