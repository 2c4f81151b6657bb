"""The recipes of deploy/: each read by its own tool, or run against the simulator."""
