"""Long tests, which only `make soak` runs."""
