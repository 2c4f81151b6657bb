"""News by themselves: who is told of what, after a load, once.

Must not know how a run is made or shown.
"""
