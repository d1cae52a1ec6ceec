"""How Parley uses allauth."""

import logging
from typing import Any
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter, get_adapter
from allauth.account.auth_backends import AuthenticationBackend
from allauth.account.internal.userkit import filter_users_by_email, get_user_by_username
from allauth.account.signals import password_reset
from django.conf import settings
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.validators import RegexValidator
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.encoding import escape_uri_path
from django.utils.translation import gettext_lazy as _

from chat import security_log
from chat.audit import record
from chat.models import AuditRecord, User

Action = AuditRecord.Action


def features(request: HttpRequest) -> dict[str, bool]:
    """For templates: whether people may create an account for themselves, and whether they see who has read theirs."""
    return {"signup_open": settings.CHAT_SIGNUP, "show_readers": settings.CHAT_SHOW_READERS}


def preferences(request: HttpRequest) -> dict[str, User | None]:
    """For templates: the person whose page it is."""
    person = getattr(request, "user", None)
    # Without a session it is the lazy object of Django's middleware, or nobody.
    return {"preferences": person if type(person) is User else None}


# At sign-up. Letters of other alphabets, full width and `@` make names that look like somebody else's.
username_validators = [
    RegexValidator(r"^[A-Za-z0-9._-]+\Z", _("Use letters without accents, digits, dots, hyphens and underscores."))
]


def find_account(email: str = "", username: str = "", **_: Any) -> User | None:
    """The one account that these credentials can sign in to, if there is one.

    An address comes before a name that looks like it. An address that several accounts share leads to none of them.
    """
    by_email = filter_users_by_email(email, prefer_verified=True, for_login=True) if email else []
    if len(by_email) == 1:
        return by_email[0]  # type: ignore[no-any-return]
    return get_user_by_username(username) if username else None


def _pk(**credentials: Any) -> Any:
    account = find_account(**credentials)
    return account.pk if account else None


class AccountBackend(AuthenticationBackend):
    """Hashes one password per attempt, so that the time does not tell whether an account exists."""

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> User:
        """Return the account; raises PermissionDenied, so that no further backend hashes the password again."""
        if (user := super().authenticate(request, **credentials)) is None:
            raise PermissionDenied
        return user  # type: ignore[no-any-return]

    def _authenticate(self, request: HttpRequest | None, **credentials: Any) -> User | None:
        return self._check_password(find_account(**credentials), credentials["password"])  # type: ignore[no-any-return]

    def get_user(self, user_id: int) -> User | None:
        person = User.find(user_id)
        return person if person and self.user_can_authenticate(person) else None


def origin(request: HttpRequest) -> str:
    """The scheme, host and port for links in mails: those that the settings trust for this host, if there are any.

    The Host header may carry any port, and a dot at its end, on its way to whoever gets the mail.
    """
    typed = f"{request.scheme}://{request.get_host()}"
    host = urlsplit(typed).hostname or ""
    trusted = (origin for origin in settings.CSRF_TRUSTED_ORIGINS if urlsplit(origin).hostname == host.rstrip("."))
    return next(trusted, typed)


class AccountAdapter(DefaultAccountAdapter):
    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "email_password_mismatch": _("That address and password don't match."),
        "username_password_mismatch": _("That username and password don't match."),
        "too_many_login_attempts": _("Too many attempts. Try again in five minutes."),
        "username_blacklisted": _("This username is reserved. Choose another one."),
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return bool(settings.CHAT_SIGNUP)

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return str(settings.LOGIN_REDIRECT_URL)

    def is_safe_url(self, url: str) -> bool:
        try:
            return bool(super().is_safe_url(url))
        except ValueError:  # urlparse cannot read `//[`.
            return False

    def get_reset_password_from_key_url(self, key: str) -> str:
        path: str = urlsplit(super().get_reset_password_from_key_url(key)).path
        return origin(self.request) + path

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        super().send_mail(template_prefix, email, {**context, "origin": origin(self.request)})

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        try:
            super().pre_authenticate(request, **credentials)
        except ValidationError:
            security_log.write("Too many wrong passwords", logging.WARNING, request, user=_pk(**credentials))
            raise

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        account = find_account(**credentials)
        # Not what was typed: people type passwords there by mistake.
        record(Action.WRONG_PASSWORD if account else Action.UNKNOWN_LOGIN, request, owner=account)

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """What wrong passwords are counted by: the account, however it was named, else the login that was typed.

        allauth's own key holds the Host header, which the client chooses.
        """
        if user := _pk(**credentials):
            return f"account:{user}"
        return f"login:{credentials.get('email') or credentials.get('username', '')}".lower()


@receiver(password_reset)
def _forget_wrong_passwords(request: HttpRequest, user: User, **_: Any) -> None:
    """People who set a new password by mail need not wait until the limit ends."""
    get_adapter()._delete_login_attempts_cached_email(request, username=user.username)


def too_many_requests(request: HttpRequest) -> HttpResponse:
    """What allauth answers beyond its limits."""
    security_log.write("Too many requests", logging.WARNING, request, path=escape_uri_path(request.path))
    return render(request, "429.html", status=429)
