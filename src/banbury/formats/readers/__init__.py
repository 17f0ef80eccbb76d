"""One module per family of formats, each with a constant ``READERS``. Adding one touches no other file."""
