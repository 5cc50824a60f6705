"""Accounts at registries and of git: which one is used where, and keeping their secrets."""
