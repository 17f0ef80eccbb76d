"""Identification by bytes: one pass over a content for the marks that products leave in their programs."""
