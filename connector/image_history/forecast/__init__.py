"""What a sync would cost, without one: calls and time.

Must not know how it is shown.
"""
