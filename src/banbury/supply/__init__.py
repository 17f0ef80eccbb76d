"""The supply chain: what a release is made of, what is known against it, and who still supports it."""
