"""The decision log: what is recorded of a decision, and the bounded buffer between the request path and the writer."""
