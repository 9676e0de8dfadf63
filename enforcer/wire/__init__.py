"""HTTP as values (fields, target), and the pooled HTTP/1.1 client side (client)."""
