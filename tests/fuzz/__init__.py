"""Fuzz tests of every parser."""
