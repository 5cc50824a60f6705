"""Accounts by which private git repositories are fetched."""

from images.models.account import Account


class GitAccount(Account):
    """An account of a git server; its prefix is such as "git.example.com", "git.example.com:8443/acme"."""
