"""One module per family of formats: strict comparators, which refuse what they cannot account for to the last byte."""
