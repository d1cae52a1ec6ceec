"""allauth's forms where people see them: in Parley's case of letters, with the cursor where they begin to write."""

from typing import Any

from allauth.account import forms
from allauth.account.fields import PasswordField, SetPasswordField
from django.utils.translation import gettext_lazy as _


class LoginForm(forms.LoginForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"].widget.attrs["autofocus"] = True


class ChangePasswordForm(forms.ChangePasswordForm):
    oldpassword = PasswordField(show_reset_help=True, label=_("Current password"), autocomplete="current-password")
    password1 = SetPasswordField(label=_("New password"))
    password2 = PasswordField(label=_("New password (again)"), autocomplete="new-password")


class ResetPasswordKeyForm(forms.ResetPasswordKeyForm):
    password1 = SetPasswordField(label=_("New password"))
    password2 = PasswordField(label=_("New password (again)"), autocomplete="new-password")
