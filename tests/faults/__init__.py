"""The list of faults, row by row: each has a test that is named for it, over HTTP or on a real file system."""
