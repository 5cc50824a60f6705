"""Who is at work on something that is no job."""

from django.db import models


class Claim(models.Model):
    """A worker is at it until then; one that dies leaves the claim to run out. See images/claims.py."""

    name = models.CharField(max_length=100, primary_key=True)
    holder = models.UUIDField()
    until = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
