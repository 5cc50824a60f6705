"""People: their teams and rights, and signing in."""
