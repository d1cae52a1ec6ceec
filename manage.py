#!/usr/bin/env python
"""Django's command line for Parley."""

import os
import sys

import django
from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

from config import __version__

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    # Django's own answer would be the version of Django.
    if sys.argv[1:] in (["version"], ["--version"]):
        sys.stdout.write(f"Parley {__version__} (Django {django.__version__}, Python {sys.version.split()[0]})\n")
        sys.exit()
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"Parley cannot start: {error}")
