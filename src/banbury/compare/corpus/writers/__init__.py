"""Writers of formats, in Python alone and in full control of every field."""
