"""Access tokens: read from the request, verified by the authorization server or a signature, cached, challenged for."""
