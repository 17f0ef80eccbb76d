"""How a person or another program reads an evaluation. Nothing is computed here that a result depends on."""
