"""Tools over a policy: they evaluate, explain, test, lint and propose rules, with the code that serves requests.

`evaluator` puts a request to the matcher and the decision; the others use it, so that no tool decides differently.
"""
