"""Recipes for pairs. Each module has a function ``recipes() -> Iterator[Recipe]``."""
