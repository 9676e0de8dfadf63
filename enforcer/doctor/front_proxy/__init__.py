"""Examines a proxy that asks the decision API: whether it forwards what was decided on, and nothing else.

The doctor takes the places of the enforcer and of the app (`stand_ins`), sends requests through the proxy (`probes`),
and compares the proxy's questions with the requests that it forwards (`judgement`).
"""
