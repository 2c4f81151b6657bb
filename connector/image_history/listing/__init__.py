"""Pure decisions on listings: which request to make, what a page adds to a listing, when a listing is accepted.

Must not know calls, files or SQL.
"""
