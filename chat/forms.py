"""What people send."""

from typing import Any

from django import forms
from django.conf import settings
from django.utils.formats import number_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

EMPTY = _("Write a question first.")
NOT_TEXT = _("The question contains characters that aren't text. Remove them.")


class ModelForm(forms.Form):
    """The model to answer; `code` names the first error for programs."""

    model = forms.ChoiceField(
        required=False, error_messages={"invalid_choice": _("This model isn't available. Choose another one.")}
    )

    CODES = {"invalid_choice": "unknown_model"}

    def __init__(self, *args: Any, models: list[str], model: str, **kwargs: Any) -> None:
        """`models` can be chosen; `model` answers when none is."""
        super().__init__(*args, **kwargs)
        self._default_model = model
        self.fields["model"].choices = [(name, name) for name in models]  # type: ignore[attr-defined]
        self.fields["model"].initial = model

    @property
    def code(self) -> str:
        first = next(iter(self.errors.as_data().values()))[0]
        return self.CODES.get(first.code or "", "bad_question")

    @property
    def message(self) -> str:
        return str(NOT_TEXT if self.code == "bad_question" else next(iter(self.errors.values()))[0])

    def clean_model(self) -> str:
        return self.cleaned_data["model"] or self._default_model


class QuestionForm(ModelForm):
    """A question and the model to answer it."""

    text = forms.CharField(
        strip=False,
        widget=forms.Textarea,
        error_messages={"required": EMPTY},
    )
    parent = forms.UUIDField(
        required=False,
        widget=forms.HiddenInput,
        error_messages={"invalid": _("The message to continue from no longer exists. Reload the page.")},
    )

    also = forms.ChoiceField(
        required=False, error_messages={"invalid_choice": _("This model isn't available. Choose another one.")}
    )
    leaf = forms.UUIDField(
        required=False,
        widget=forms.HiddenInput,
        error_messages={"invalid": _("The last message no longer exists. Reload the page.")},
    )

    def __init__(self, *args: Any, models: list[str], model: str, **kwargs: Any) -> None:
        super().__init__(*args, models=models, model=model, **kwargs)
        self.fields["also"].choices = [("", ""), *((name, name) for name in models)]  # type: ignore[attr-defined]

    CODES = {
        **ModelForm.CODES,
        "required": "empty_question",
        "max_length": "question_too_long",
        "invalid": "unknown_parent",
    }

    field_order = ["text", "model", "parent", "leaf", "also"]

    def clean_text(self) -> str:
        text: str = self.cleaned_data["text"].replace("\r\n", "\n").replace("\r", "\n")
        most = settings.CHAT_QUESTION_CHARS
        if len(text) > most:
            sentence = gettext("Your question has %(count)s characters. The limit is %(most)s.")
            figures = {"count": grouped(len(text)), "most": grouped(most)}
            raise forms.ValidationError(sentence % figures, code="max_length")
        # Whitespace is not the only invisible text.
        if not any(character.isprintable() and not character.isspace() for character in text):
            raise forms.ValidationError(EMPTY, code="required")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise forms.ValidationError(NOT_TEXT) from None
        return text


def grouped(number: int) -> str:
    """A number with its thousands set apart."""
    return number_format(number, force_grouping=True)
