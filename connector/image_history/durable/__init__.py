"""Files that survive a power cut, and the effects where tests put faults.

Must not know what a file holds.
"""
