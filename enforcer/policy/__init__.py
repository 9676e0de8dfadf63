"""The core of the policy: rules, their compiled requirements, the matcher, and the decision (read `decision` first)."""
