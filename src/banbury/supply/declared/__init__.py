"""What a vendor says its release is made of, read strictly and compared with what was found."""
