"""What exactly was handed over, and what is in it: manifest, custody, unpacking, the ledger. No opinions."""
