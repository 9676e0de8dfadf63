"""Verifies finished objects: who can reach which port of a workload's pods without passing the enforcer.

Knows nothing of how the objects came about: not of an injection's plan, nor of its annotations. `enforcers` recognizes
the enforcer by the specification of its container, and `pods`, `services` and `endpoints` the ports of an app;
`services` and `network_policies` work out who reaches a port of the objects in an `object_set`, `added_proxies` what
may forward from inside of a pod, and `verdicts` adds them up.
"""
