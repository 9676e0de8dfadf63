"""Documents of an authorization server, such as metadata and keys: fetched, refreshed, and parsed strictly."""
