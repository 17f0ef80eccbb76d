"""Policies are data: packs of rules, compiled to SQL, and verdicts that are rows."""
