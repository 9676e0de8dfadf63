"""The benchmark: compares the enforcer with other proxies, each measured on a CPU core of its own.

1. The measured server runs on CPU 0. The servers behind it and the load generator run on CPU 1.
2. Each measurement starts a new process of its server. A round measures all servers in turn, so that noise on the
   machine affects all of them.
3. A ratio is formed within a round. The result is the median over the rounds.
"""
