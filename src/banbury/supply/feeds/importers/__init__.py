"""One module for each format of a feed. A module offers ``IMPORTERS``; adding one touches no other file."""
