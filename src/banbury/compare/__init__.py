"""What is the same, and what is not: between two releases here; between shipped and rebuilt in a later room."""
