"""What is known of vulnerabilities in a release, in the three formats that others read (VEX)."""
