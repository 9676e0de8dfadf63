"""Verifies finished objects: who can reach which port of a workload's pods without passing the enforcer.

Knows nothing of how the objects came about: not of an injection's plan, nor of its annotations. `enforcers` recognizes
the enforcer by the specification of its container, `services` and `network_policies` work out who reaches a port of
the objects in an `object_set`, and `verdicts` adds them up.
"""
