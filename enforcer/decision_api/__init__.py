"""The decision API: other proxies ask whether a request is allowed, and forward it themselves.

A listener has one contract: how its callers describe the client's request (`contracts`), and what the answer says
(`answers`). Between the two, the decision is that of the proxy (`proxy.authorize`). Read `door` first.
"""
