"""Mail where there is no mail server."""

from typing import Any

from django.core.mail.backends.console import EmailBackend


class ConsoleBackend(EmailBackend):
    """Writes what a person would read. Django writes what would go over the wire, with its links broken into pieces."""

    def write_message(self, message: Any) -> None:
        self.stream.write(f"To: {', '.join(message.to)}\nSubject: {message.subject}\n\n{message.body}\n{'-' * 79}\n")
