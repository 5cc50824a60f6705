"""Attempts at signing in, counted so that passwords can not be guessed."""

from django.db import models


class SignInAttempt(models.Model):
    """One attempt, once for each thing it is counted by; rows older than the window are deleted.

    In the database and not in a cache: every web process sees the same count, and losing Redis opens no door.
    """

    key = models.CharField(max_length=64)  # a hash, so that a password typed as a name is not kept
    at = models.DateTimeField(db_index=True)

    class Meta:
        indexes = [models.Index(fields=["key", "at"])]

    def __str__(self) -> str:
        return self.key[:12]
