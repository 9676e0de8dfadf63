"""Real counterparts for the tests of the shell: the enforcer as a process, and servers that show what reached them."""
