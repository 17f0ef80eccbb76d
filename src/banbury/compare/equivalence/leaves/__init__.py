"""Comparators of single files without members: one module a format, found by :mod:`.registry`."""
