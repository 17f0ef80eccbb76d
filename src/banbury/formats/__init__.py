"""One reader per container format: members and the owner of every byte. Imports only ``model``."""
