"""Inspectors: pure functions of one file's bytes that state typed facts, without severity or policy."""
