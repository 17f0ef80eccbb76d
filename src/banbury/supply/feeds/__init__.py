"""Feeds: what others know of vulnerabilities and of the end of support, imported from files and kept by digest."""
