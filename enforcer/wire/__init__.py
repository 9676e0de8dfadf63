"""HTTP as values (`fields`, `target`), and pooled HTTP/1.1 connections to other servers (`pool`, `http_client`)."""
