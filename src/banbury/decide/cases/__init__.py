"""Cases: what was publicly said of a network and a vendor over time, and what each country's rules gave each time."""
