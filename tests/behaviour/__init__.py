"""Tests of whole syncs and verbs."""
