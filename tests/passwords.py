"""Passwords for tests."""

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class QuickHasher(PBKDF2PasswordHasher):
    """Django's own hasher in a single round, so that a real server accepts the passwords that a test has set."""

    iterations = 1
