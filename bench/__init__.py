"""The benchmark: the enforcer and its peers, one at a time on a core of their own.

Each measured server runs on CPU 0, alone; what it needs behind it and what loads it run on CPU 1. Every measurement
starts its server anew, and a round takes all servers in turn, so that a noisy minute of the machine falls on all of
them. A ratio is formed within a round, and the median of the rounds counts.
"""
