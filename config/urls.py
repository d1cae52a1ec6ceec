"""Addresses of the project: the chat, the accounts and the admin."""

from allauth.account import urls as account_urls
from allauth.account.decorators import secure_admin_login
from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, include, path, re_path
from django.views.generic import RedirectView

from chat.views.problems import not_found

# The admin's own login page has no limits.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]


def is_open(pattern: URLPattern) -> bool:
    return settings.PASSWORD_RESET or "reset_password" not in str(pattern.name)


urlpatterns = [
    path("", include("chat.urls")),
    # Only administrators change email addresses, in the admin.
    re_path("^accounts/(email|confirm-email)/", not_found),
    path("accounts/", include([pattern for pattern in account_urls.urlpatterns if is_open(pattern)])),
    # The admin's own page tries old passwords without a limit.
    path("admin/password_change/", RedirectView.as_view(pattern_name="account_change_password")),
    # Django's redirect to whatever has an id, for all staff.
    re_path("^admin/r/", not_found),
    path("admin/", admin.site.urls),
]

handler400 = "chat.views.problems.bad_request"
handler403 = "chat.views.problems.forbidden"
handler404 = "chat.views.problems.not_found"
handler500 = "chat.views.problems.server_error"
handler429 = "chat.accounts.too_many_requests"  # allauth's name, beside Django's
