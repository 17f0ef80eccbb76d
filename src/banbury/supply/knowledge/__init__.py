"""Knowledge mined from a distribution's packages: which versions there are, and which symbols came with which."""
