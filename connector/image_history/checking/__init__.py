"""Checks whether a sync can run, with a fix for each problem; the least IAM policies; how AWS behaves.

Changes nothing, here or at AWS; must not know how anything is shown.
"""
