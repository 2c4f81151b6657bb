"""The tests of the recipes in deploy/: each recipe is checked by its own tool, or run against the simulator."""
