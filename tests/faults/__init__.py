"""The list of faults: each row has a test that is named for it, over HTTP or on a real file system."""
