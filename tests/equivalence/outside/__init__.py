"""Readers of containers that nobody here wrote, asked what they see: the second parser of the equivalence gates."""
