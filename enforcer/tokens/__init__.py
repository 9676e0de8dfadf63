"""What a token is worth: taken from the request, asked of the authorization server, remembered, challenged for."""
