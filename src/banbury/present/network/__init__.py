"""A network for a person: one page that needs no network, with verdicts, pictures, paths and options."""
