"""What operators look at: the admin side."""
