"""The admission webhook: injects pods as they are created.

`server` is the process. `application` answers a `review` with the decision of `admission`. `certificate_rotation` keeps
the `certificates` that API servers trust. `cluster` calls the API server, `events` records Events, `metrics` counts.
"""
