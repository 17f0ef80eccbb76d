"""The commands, one module each: each parses its arguments, calls one function of the laboratory and renders."""
