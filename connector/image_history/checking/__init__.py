"""Whether a sync could run here and now, and what to fix if not; what it may do at least; how AWS behaves.

Changes nothing, neither here nor at AWS; must not know how anything is shown.
"""
