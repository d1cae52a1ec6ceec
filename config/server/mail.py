"""Mail without a mail server."""

from typing import Any

from django.core.mail.backends.console import EmailBackend


class ConsoleBackend(EmailBackend):
    """Prints what a person would read. Django's own prints the encoded message, in which long links are broken."""

    def write_message(self, message: Any) -> None:
        self.stream.write(f"To: {', '.join(message.to)}\nSubject: {message.subject}\n\n{message.body}\n{'-' * 79}\n")
