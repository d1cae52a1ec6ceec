"""What people send."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from django import forms
from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils.formats import number_format
from django.utils.translation import get_language_info, gettext
from django.utils.translation import gettext_lazy as _

from chat.models import Label, Reply, User
from chat.models.labels import LONGEST_NAME, MOST_OF_CONVERSATION, MOST_OF_PERSON, LabelError, LabelName

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

# As many as the column holds.
LONGEST_TITLE = 200

EMPTY = _("Write a question first.")
# Characters of a person's instructions, and of those for a conversation.
MOST_INSTRUCTIONS = 4000
# Characters of what they say about an answer.
REASON_CHARS = 2000
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
    temporary = forms.BooleanField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, models: list[str], model: str, **kwargs: Any) -> None:
        super().__init__(*args, models=models, model=model, **kwargs)
        self.fields["also"].choices = [("", ""), *((name, name) for name in models)]  # type: ignore[attr-defined]

    CODES = {
        **ModelForm.CODES,
        "required": "empty_question",
        "max_length": "question_too_long",
        "invalid": "unknown_parent",
        "no_temporary": "no_temporary",
    }

    field_order = ["text", "model", "parent", "leaf", "also", "temporary"]

    def clean_text(self) -> str:
        text: str = self.cleaned_data["text"].replace("\r\n", "\n").replace("\r", "\n")
        sentence = gettext("Your question has %(count)s characters. The limit is %(most)s.")
        check_length(text, settings.CHAT_QUESTION_CHARS, sentence)
        if not is_visible(text):
            raise forms.ValidationError(EMPTY, code="required")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise forms.ValidationError(NOT_TEXT) from None
        return text

    @property
    def is_temporary(self) -> bool:
        """Whether its question begins a temporary conversation."""
        temporary = self["temporary"]
        return bool(settings.CHAT_TEMPORARY_HOURS and temporary.field.to_python(temporary.value()))

    def clean_temporary(self) -> bool:
        temporary: bool = self.cleaned_data["temporary"]
        if temporary and not settings.CHAT_TEMPORARY_HOURS:
            sentence = gettext("Temporary chats are switched off here. Ask in a conversation that is kept instead.")
            raise forms.ValidationError(sentence, code="no_temporary")
        return temporary


class InstructionsForm(forms.Form):
    """What a person always tells the model."""

    instructions = forms.CharField(
        label=_("Your instructions"),
        help_text=_(
            "The model is told this with each of your questions, in all conversations: what it should know about you, "
            "how you want it to answer. Administrators can read it with your conversations."
        ),
        required=False,
        widget=forms.Textarea(attrs={"rows": 8, "dir": "auto"}),
    )

    def clean_instructions(self) -> str:
        text: str = self.cleaned_data["instructions"].replace("\r\n", "\n").replace("\r", "\n")
        sentence = gettext("Your instructions have %(count)s characters. The limit is %(most)s.")
        check_length(text, MOST_INSTRUCTIONS, sentence)
        return text


def date_languages() -> list[tuple[str, str]]:
    """The languages in which Django writes dates, each in its own words."""
    languages = [(code, get_language_info(code)["name_local"]) for code, _name in settings.LANGUAGES]
    return [("", gettext("The language of the page")), *sorted(languages, key=lambda language: language[1].casefold())]


class SettingsForm(InstructionsForm):
    """What a person wants in all conversations and on all devices."""

    default_model = forms.ChoiceField(
        label=_("Model of new conversations"),
        required=False,
        error_messages={"invalid_choice": _("This model isn't available. Choose another one.")},
    )
    enter = forms.ChoiceField(label=_("The Enter key"), choices=User.Enter, required=False)
    theme = forms.ChoiceField(label=_("Theme"), choices=User.Theme, required=False)
    text_size = forms.ChoiceField(label=_("Size of text"), choices=User.TextSize, required=False)
    typeface = forms.ChoiceField(label=_("Typeface of answers"), choices=User.Typeface, required=False)
    date_language = forms.ChoiceField(label=_("Language of dates"), choices=date_languages, required=False)

    def __init__(self, *args: Any, models: list[str], **kwargs: Any) -> None:
        """`models` can be chosen."""
        super().__init__(*args, **kwargs)
        choices = [("", gettext("The one I used last")), *((name, name) for name in models)]
        self.fields["default_model"].choices = choices  # type: ignore[attr-defined]


class ThemeForm(forms.Form):
    """The theme alone, as the switch in the menu sends it."""

    theme = forms.ChoiceField(choices=User.Theme)


def _between(least: int, most: int, sentence: StrPromise) -> dict[str, Any]:
    """Arguments of a field for a number, which answers with this sentence whatever is wrong."""
    validators = [MinValueValidator(least, sentence), MaxValueValidator(most, sentence)]
    return {"required": False, "validators": validators, "error_messages": {"invalid": sentence}}


class ConversationForm(InstructionsForm):
    """What goes to the model with the questions of one conversation."""

    temperature = forms.FloatField(
        label=_("Temperature"),
        help_text=_(
            "From 0, the most predictable, to 2, the most varied. Empty: what the model does by itself. "
            "Not every model lets you choose."
        ),
        widget=forms.NumberInput(attrs={"step": "0.1"}),
        **_between(0, 2, _("Enter a number from 0 to 2, or nothing.")),
    )
    max_tokens = forms.IntegerField(
        label=_("Longest reply, in tokens"),
        help_text=_("A token is about three quarters of a word. The model's thinking counts too. Empty: no limit."),
        **_between(1, 1_000_000, _("Enter a whole number from 1 to 1,000,000, or nothing.")),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["instructions"].label = _("Instructions")
        self.fields["instructions"].help_text = ""


class BeginningForm(ConversationForm):
    """The same of a conversation that has not begun. It is sent with the first question, whose form it belongs to."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs["form"] = "ask"

    @property
    def is_filled(self) -> bool:
        return any(field.value() not in (None, "") for field in self)

    @property
    def message(self) -> str:
        """The first error, with the name of its field."""
        name, errors = next(iter(self.errors.items()))
        return f"{self.fields[name].label}: {errors[0]}"


class ReasonField(forms.CharField):
    """A text of several lines, which has to say something."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(widget=forms.Textarea(attrs={"rows": 4, "dir": "auto"}), **kwargs)

    def clean(self, value: Any) -> str:
        text: str = super().clean(value)
        if not is_visible(text):
            raise forms.ValidationError(self.error_messages["required"], code="required")
        check_length(text, REASON_CHARS, gettext("This text has %(count)s characters. The limit is %(most)s."))
        return text


class ReportForm(forms.Form):
    """Why an answer is reported."""

    reason = ReasonField(label=_("What is wrong with it?"), error_messages={"required": _("Write a reason first.")})


class FeedbackForm(forms.Form):
    """What a person thinks of an answer: a verdict, which may be none, and why."""

    verdict = forms.ChoiceField(choices=Reply.Feedback, required=False)
    reason = forms.CharField(required=False)

    @property
    def message(self) -> str:
        return str(next(iter(self.errors.values()))[0])

    def clean_reason(self) -> str:
        reason: str = self.cleaned_data["reason"]
        check_length(reason, REASON_CHARS, gettext("Your reason has %(count)s characters. The limit is %(most)s."))
        return reason


class Flag(forms.TypedChoiceField):
    """`true` or `false`; None if it is not sent."""

    default_error_messages = {"invalid_choice": _("Send `true` or `false`.")}

    def __init__(self) -> None:
        choices = [("true", "true"), ("false", "false")]
        super().__init__(choices=choices, coerce=lambda value: value == "true", empty_value=None, required=False)


class OptionsForm(forms.Form):
    """What a person sets of a conversation: only what is sent changes."""

    title = forms.CharField(required=False)
    pinned = Flag()
    archived = Flag()

    def clean_title(self) -> str:
        """One line of visible text."""
        title = " ".join(self.cleaned_data["title"].split())
        if "title" not in self.data:
            return title
        if not is_visible(title):
            raise forms.ValidationError(_("Write a title first."))
        if len(title) > LONGEST_TITLE:
            sentence = gettext("This title has %(count)d characters. The limit is %(most)d.")
            raise forms.ValidationError(sentence % {"count": len(title), "most": LONGEST_TITLE})
        return title

    @property
    def changes(self) -> dict[str, Any]:
        """The fields of the conversation that were sent."""
        return {name: value for name, value in self.cleaned_data.items() if name in self.data and value is not None}


class NameField(forms.CharField):
    """The name of a label: one line of visible text."""

    def __init__(self, **kwargs: Any) -> None:
        attrs = {"dir": "auto", "autocomplete": "off", "maxlength": LONGEST_NAME}
        errors = {"required": _("Write a name first.")}
        super().__init__(widget=forms.TextInput(attrs=attrs), error_messages=errors, **kwargs)

    def clean(self, value: Any) -> str:
        name = normalize("NFC", " ".join(super().clean(value).split()))
        if name and not is_visible(name):
            raise forms.ValidationError(self.error_messages["required"], code="required")
        check_length(name, LONGEST_NAME, gettext("This name has %(count)s characters. The limit is %(most)s."))
        return name


class LabelForm(forms.Form):
    """The name of one label, in a list with those of others."""

    name = NameField(label=_("Name"))

    def __init__(self, data: Any, label: Label) -> None:
        super().__init__(data, initial={"name": label.name}, auto_id=f"{label.pk}-%s")
        self.label = label


class LabelsForm(forms.Form):
    """The labels of a conversation, of which one may be new."""

    labels = forms.ModelMultipleChoiceField(
        Label.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        error_messages=dict.fromkeys(
            ["invalid_choice", "invalid_pk_value", "invalid_list"],
            _("One of these labels no longer exists. Look at the others and save again."),
        ),
    )
    name = NameField(label=_("New label"), required=False)

    def __init__(self, *args: Any, person: User, **kwargs: Any) -> None:
        """The labels are those of this person."""
        super().__init__(*args, **kwargs)
        self.fields["labels"].queryset = Label.objects.for_user(person)  # type: ignore[attr-defined]


class GiveForm(forms.Form):
    """Which label to give to several conversations, or to take from them. A new one can only be given."""

    do = forms.ChoiceField(choices=[("give", "give"), ("take", "take")], widget=forms.HiddenInput)
    label = forms.ModelChoiceField(
        Label.objects.none(),
        label=_("Label"),
        required=False,
        empty_label=_("Choose one"),
        error_messages={"invalid_choice": _("This label no longer exists. Choose another one.")},
    )
    name = NameField(label=_("New label"), required=False)

    def __init__(self, *args: Any, person: User, **kwargs: Any) -> None:
        """The labels are those of this person."""
        super().__init__(*args, **kwargs)
        self.fields["label"].queryset = Label.objects.for_user(person)  # type: ignore[attr-defined]

    def clean(self) -> None:
        label, name = self.cleaned_data.get("label"), self.cleaned_data.get("name")
        if self.errors or label:
            return
        if self.cleaned_data["do"] == "take":
            self.add_error("label", _("Choose the label to take away."))
        elif not name:
            self.add_error("label", _("Choose a label, or write the name of a new one."))


def add_label_error(form: forms.Form, error: LabelError) -> None:
    """Say at its field why a change of labels is refused."""
    match error.code:
        case "taken":
            form.add_error("name", gettext("Another label has this name. Choose a different one."))
        case "too_many":
            sentence = gettext("You have %(most)d labels, which is the limit. Delete one to make another.")
            form.add_error("name", sentence % {"most": MOST_OF_PERSON})
        case _:
            sentence = gettext("A conversation can have %(most)d labels. Take one away to give it another.")
            form.add_error(None, sentence % {"most": MOST_OF_CONVERSATION})


class DayField(forms.DateField):
    """A day, from a calendar in browsers that have one."""

    widget = forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"})

    def __init__(self, **kwargs: Any) -> None:
        errors = {"invalid": _("This isn't a day. Write it like 2026-03-31.")}
        super().__init__(required=False, input_formats=["%Y-%m-%d"], error_messages=errors, **kwargs)

    def to_python(self, value: Any) -> date | None:
        day: date | None = super().to_python(value)
        # Near the ends of the calendar a day may not exist in another time zone.
        if day and not 1971 <= day.year < 2100:
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
        return day


class PeriodForm(forms.Form):
    """From one day to another, each of which may be left out."""

    since = DayField(label=_("From"))
    until = DayField(label=_("To"))

    def clean(self) -> None:
        since, until = self.cleaned_data.get("since"), self.cleaned_data.get("until")
        if since and until and since > until:
            self.add_error("until", _("The last day comes before the first. Exchange them."))


class SearchForm(PeriodForm):
    """What to look for, and where."""

    q = forms.CharField(required=False, label=_("Search"), widget=forms.SearchInput)
    model = forms.ChoiceField(
        required=False,
        label=_("Model"),
        error_messages={"invalid_choice": _("This model isn't available. Choose another one.")},
    )

    label = forms.ChoiceField(
        required=False,
        label=_("Label"),
        error_messages={"invalid_choice": _("This label no longer exists. Choose another one.")},
    )
    trash = forms.BooleanField(required=False, label=_("Also in the trash"))

    def __init__(self, *args: Any, models: list[str], labels: list[LabelName], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        chosen_labels = [(str(label.pk), label.name) for label in labels]
        self.fields["model"].choices = [("", _("Any model")), *((name, name) for name in models)]  # type: ignore[attr-defined]
        self.fields["label"].choices = [("", _("Any label")), *chosen_labels]  # type: ignore[attr-defined]


def is_visible(text: str) -> bool:
    """Whether there is anything to see: whitespace is not the only invisible text."""
    return any(character.isprintable() and not character.isspace() for character in text)


def check_length(text: str, most: int, sentence: str) -> None:
    """Raise ValidationError with this sentence, which has a place for each of the two figures."""
    if len(text) > most:
        figures = {"count": grouped(len(text)), "most": grouped(most)}
        raise forms.ValidationError(sentence % figures, code="max_length")


def grouped(number: int) -> str:
    """A number with its thousands set apart."""
    return number_format(number, force_grouping=True)
