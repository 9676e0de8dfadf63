"""Who may do what: rules as written, the rule that a request falls under, the decision. Pure throughout."""
