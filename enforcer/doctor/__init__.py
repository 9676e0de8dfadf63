"""`enforcer doctor`: tries the servers of a configuration and reports what is wrong and how to fix it."""
