"""The people who sign in."""

from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    """Django's own user for now. A project can replace it easily only before it has data."""
