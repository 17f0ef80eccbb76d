"""The vocabulary every room shares: plain typed records, no input or output."""
