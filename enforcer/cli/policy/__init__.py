"""The commands that read a policy: check, test and explain it, and propose rules."""
