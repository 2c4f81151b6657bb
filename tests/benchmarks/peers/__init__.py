"""Other ways to the same rows, each a small program of its own."""
