"""The Django project: its settings, its addresses and what it adds to the server."""

__version__ = "0.2.0"
