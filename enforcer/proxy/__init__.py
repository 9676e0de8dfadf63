"""The exchange: one request from a client, judged, forwarded or refused, and its answer."""
