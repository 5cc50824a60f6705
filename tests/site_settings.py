"""Settings of the running site in browser tests: the real ones, and the quick hash of passwords."""

from config.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
