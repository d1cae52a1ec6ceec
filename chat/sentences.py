"""Errors in words: the only module that knows what people read when a reply ends early.

Code and database pass errors on as a code with parameters, so that a sentence can be improved or translated later.
"""

from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from chat.events import Error

_SENTENCES: dict[str, str | Promise] = {
    # The endpoint (chat/completions/errors.py)
    "busy": _("The model has too many requests, or its quota is used up. Try again in a few minutes."),
    "context_too_long": _("This conversation is too long for the model. Start a new one, or ask a shorter question."),
    "cut_off": _("The connection to the model was lost before the reply was complete."),
    "no_answer": _("The model sent no answer. Try again, or ask differently."),
    "not_a_stream": _("The model's server sent something that isn't a reply. Please tell your administrator."),
    "rejected": _("The model's server rejected the question. Ask it differently, or tell your administrator."),
    "reported": _("The model's server reported an error. Try again in a moment."),
    "stalled": _("The model stopped partway through."),
    "too_large": _("The reply grew longer than allowed and was cut short."),
    "too_long": _("The reply took longer than allowed and was cut short."),
    "too_slow": _("The model took too long to start answering. Try again in a moment."),
    "unauthorized": _("The model's server rejected the API key. Please tell your administrator."),
    "unavailable": _("The model's server ran into a problem. Try again in a few minutes."),
    "unsupported_parameter": _(
        "The model doesn't take the temperature or the length that is set for this conversation. "
        "Empty them under Instructions, then try again."
    ),
    "unknown_model": _("The model's server doesn't know this model. Please tell your administrator."),
    "unreachable": _(
        "The model's server can't be reached. Try again, and tell your administrator if it keeps happening."
    ),
    # Parley itself
    "broken": _("Something went wrong on the server. Try again, and tell your administrator if it keeps happening."),
    "deleted": _("This conversation has been deleted."),
    "interrupted": _("The server stopped writing this reply partway through."),
    "lost": _("Part of this reply could not be saved."),
    "storage_failed": _(
        "The server's storage failed for a moment, so this reply was cut short. What you see of it is saved."
    ),
}
# Why nothing was searched (chat/search/query.py).
_SEARCH: dict[str, str | Promise] = {
    "no_words": _("Write a word to look for. Signs alone can't be found."),
    "only_unwanted": _("Write a word to look for, too: so far there is only what you don't want."),
    "too_long": _("This is too long for a search. Use fewer words."),
    "too_many_words": _("These are too many words for a search. Use at most twelve."),
    "too_slow": _("This search takes too long. Add a rarer word."),
}
# A code from a newer version.
_UNKNOWN = _("Something went wrong while this reply was being written. Try again in a moment.")
# Instead of the code's own sentence when the endpoint says how long to wait, in seconds.
_RETRY_AFTER = _("The model isn't available right now. Try again in %(duration)s.")

# What only administrators can change, and only they read.
_SETTINGS = {
    "not_a_stream": "OPENAI_BASE_URL",
    "unauthorized": "OPENAI_API_KEY",
    "unknown_model": "OPENAI_MODEL, OPENAI_BASE_URL",
    "unreachable": "OPENAI_BASE_URL",
}


def codes() -> list[str]:
    """Return all kinds of errors that a reply can end with."""
    return sorted(_SENTENCES)


def of(error: Error) -> str:
    """Return what happened, and what to do about it where a button doesn't say so, in the active language."""
    seconds = error.params.get("retry_after")
    if isinstance(seconds, int):
        return str(_RETRY_AFTER) % {"duration": duration(seconds)}
    return str(_SENTENCES.get(error.code, _UNKNOWN))


def for_staff(error: Error) -> str:
    """Return the code and the sentence, with the settings to check."""
    sentence = f"{error.code}: {of(error)}"
    if names := _SETTINGS.get(error.code):
        return f"{sentence} {gettext('Check %(settings)s.') % {'settings': names}}"
    return sentence


def search(code: str) -> str:
    """Return why nothing was searched, and what to write instead."""
    return str(_SEARCH[code])


def limit(code: str, params: dict[str, int]) -> str:
    """Return which limit a person has reached, and what to do until it allows more."""
    most = params["most"]
    match code:
        case "too_many_running":
            sentence = ngettext(
                "You already have %(most)d reply running. Wait for it to finish, or stop it.",
                "You already have %(most)d replies running. Wait for one to finish, or stop one.",
                most,
            )
        case "too_many_questions":
            sentence = ngettext(
                "You've reached the limit of %(most)d question per minute. Ask again in %(wait)s.",
                "You've reached the limit of %(most)d questions per minute. Ask again in %(wait)s.",
                most,
            )
        case "too_many_queued":
            sentence = ngettext(
                "You've already queued %(most)d question here. Wait until it has been sent, or withdraw it.",
                "You've already queued %(most)d questions here. Wait until one has been sent, or withdraw one.",
                most,
            )
        case "too_many_queued_in_all":
            sentence = gettext(
                "You've already queued %(most)d questions in all your conversations. "
                "Wait until one has been sent, or withdraw one."
            )
        case "no_room_to_compare":
            sentence = gettext(
                "Comparing takes %(most)d replies, and your limit leaves room for one. "
                "Try again later, or ask one model."
            )
        case "too_many_streams":
            sentence = gettext(
                "You have too many pages open at once. The limit is %(most)d. Close some tabs, then try again."
            )
        case _:
            sentence = gettext("You've opened too many pages at once. Wait a few seconds, then reload the page.")
    return sentence % {"most": most, "wait": duration(params.get("wait", 0))}


def duration(seconds: int) -> str:
    """Return the time in the largest unit that makes at least two, rounded."""
    if seconds < 120:
        return ngettext("%(count)d second", "%(count)d seconds", seconds) % {"count": seconds}
    if seconds < 2 * 3600:
        minutes = round(seconds / 60)
        return ngettext("%(count)d minute", "%(count)d minutes", minutes) % {"count": minutes}
    hours = round(seconds / 3600)
    return ngettext("%(count)d hour", "%(count)d hours", hours) % {"count": hours}
