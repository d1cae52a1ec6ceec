"""`runserver` with Daphne as the server. Django's own is a WSGI server, which delivers a stream as one lump."""

from daphne.management.commands.runserver import Command

__all__ = ["Command"]
