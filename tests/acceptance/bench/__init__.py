"""``make bench``: the goals for speed, each measured beside its floor or its peer in one run, in one table.

A goal is exact (a count, a list of modules: it must hold anywhere) or a timing (a ratio: it holds on a quiet machine).
"""
