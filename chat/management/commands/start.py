"""What `make run` starts: everything in one process, because each start of Python takes noticeable time."""

import socket
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from chat.models import User

ADDRESS = "127.0.0.1"


class Command(BaseCommand):
    """Migrate the database, create the demo account if nobody can sign in yet, and run the server."""

    help = __doc__
    # `runserver` runs the system checks.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, choices=range(1, 65536), metavar="PORT", default=8000)
        # The reloader doubles the time to start, and each reload interrupts running replies.
        parser.add_argument("--reload", action="store_true", help="restart the server when code changes")

    def handle(self, *args: Any, port: int, reload: bool, **options: Any) -> None:
        refuse_taken_port(port)
        migrate()
        self.stdout.write(f"Parley runs at http://{ADDRESS}:{port}/")
        # Before anything that the log has to say.
        self.stdout.flush()
        self.stdout.write(demo_login())
        self.stdout.flush()
        call_command("runserver", f"{ADDRESS}:{port}", use_reloader=reload)


def refuse_taken_port(port: int) -> None:
    """Raise CommandError if the port cannot be used: Daphne would only log that, and exit with status 0."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((ADDRESS, port))
        except OSError as error:
            raise CommandError(f"Port {port} cannot be used ({error.strerror}): choose one with PORT=.") from None


def migrate() -> None:
    # `migrate` takes a while even when there is nothing to do.
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        call_command("migrate", verbosity=0)


def demo_login() -> str:
    """Create the account demo/demo if DEBUG is on and there is no user, and return how to sign in."""
    if not User.objects.exists():
        if not settings.DEBUG:
            return "Nobody can sign in yet. Create a user with `python manage.py createsuperuser`."
        User.objects.create_superuser("demo", password="demo")  # noqa: S106 (it is on the screen)
        return "Sign in as demo with the password demo."
    if settings.DEBUG and User.objects.filter(username="demo").exists():
        return "Sign in as demo with the password demo, unless you have changed it."
    return "Sign in with your account."
