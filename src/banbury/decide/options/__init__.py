"""Accept, mitigate, cap, ban by a date: what each costs, whether it can be done, and what is left, side by side."""
