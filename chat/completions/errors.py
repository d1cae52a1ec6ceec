"""Why an endpoint gave no whole answer.

Nothing that an endpoint says in an error reaches a person: it may contain keys or addresses.
"""

from typing import Any


class CompletionError(Exception):
    """The endpoint gave no whole answer; `message` tells a person what to do.

    `told` says that the endpoint itself reported the error, `retryable` that the same question may succeed in a moment.
    """

    code = "failed"
    message = "The model could not answer. Try again."
    told = False
    retryable = False
    retry_after: float | None = None

    def __init__(self, message: str = "") -> None:
        if message:
            self.message = message
        super().__init__(self.code)


class Unreachable(CompletionError):
    code = "unreachable"
    message = "The model's server cannot be reached. Try again; if it stays so, tell your administrator."
    retryable = True


class TooSlow(CompletionError):
    code = "too_slow"
    message = "The model did not begin to answer in time. Try again."


class Stalled(CompletionError):
    code = "stalled"
    message = "The model stopped writing in the middle. Try again."


class TooLong(CompletionError):
    code = "too_long"
    message = "The reply took longer than is allowed here and was cut off."


class TooLarge(CompletionError):
    code = "too_large"
    message = "The reply became longer than is allowed here and was cut off."


class CutOff(CompletionError):
    code = "cut_off"
    message = "The connection to the model ended before the reply did. Try again."


class NoAnswer(CompletionError):
    code = "no_answer"
    message = "The model ended without an answer. Try again."


class NotAStream(CompletionError):
    code = "not_a_stream"
    message = (
        "The model's server answered with something that is not a reply."
        " Tell your administrator to check OPENAI_BASE_URL."
    )


class Refused(CompletionError):
    """The endpoint answered with an error."""

    told = True


class Unauthorized(Refused):
    code = "unauthorized"
    message = "The model's server did not accept our key. Tell your administrator to check OPENAI_API_KEY."


class UnknownModel(Refused):
    code = "unknown_model"
    message = (
        "The model's server does not know this model or address."
        " Tell your administrator to check OPENAI_MODEL and OPENAI_BASE_URL."
    )


class Busy(Refused):
    code = "busy"
    message = "The model has too many requests or its quota is used up. Try again in a few minutes."
    retryable = True


class ContextTooLong(Refused):
    code = "context_too_long"
    message = "This conversation is too long for the model. Start a new one, or ask a shorter question."


class Rejected(Refused):
    code = "rejected"
    message = "The model's server rejected the question. Ask it differently, or tell your administrator."


class Unavailable(Refused):
    code = "unavailable"
    message = "The model's server has a problem of its own. Try again in a few minutes."
    retryable = True


class Reported(Refused):
    code = "reported"
    message = "The model's server reported an error while it answered. Try again."


BY_STATUS: dict[int, type[Refused]] = {
    401: Unauthorized,
    403: Unauthorized,
    404: UnknownModel,
    408: Unavailable,
    409: Unavailable,
    429: Busy,
}
BY_CODE: dict[str, type[Refused]] = {
    "context_length_exceeded": ContextTooLong,
    "insufficient_quota": Busy,
    "invalid_api_key": Unauthorized,
    "model_not_found": UnknownModel,
    "rate_limit_exceeded": Busy,
}


def word(value: Any, limit: int) -> str:
    return "".join(filter(str.isprintable, value))[:limit] if isinstance(value, str) else ""
