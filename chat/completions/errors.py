"""Why an endpoint gave no whole answer.

Nothing that an endpoint says in an error reaches a person, as it may contain keys or addresses.
"""

from typing import Any


class CompletionError(Exception):
    """The endpoint gave no whole answer; `code` and `params` say why, and `chat/sentences.py` puts them into words.

    `told` says that the endpoint itself reported the error, `retryable` that the same question may succeed in a moment.
    """

    code = "failed"
    told = False
    retryable = False
    # Seconds that the endpoint asks to wait before the next attempt; 0 where it doesn't say.
    retry_after: float = 0

    def __init__(self, **params: int | str) -> None:
        self.params = params
        super().__init__(self.code)


class Unreachable(CompletionError):
    code = "unreachable"
    retryable = True


class TooSlow(CompletionError):
    code = "too_slow"


class Stalled(CompletionError):
    code = "stalled"


class TooLong(CompletionError):
    code = "too_long"


class TooLarge(CompletionError):
    code = "too_large"


class CutOff(CompletionError):
    code = "cut_off"


class NoAnswer(CompletionError):
    code = "no_answer"


class NotAStream(CompletionError):
    code = "not_a_stream"


class Refused(CompletionError):
    """The endpoint answered with an error."""

    told = True


class Unauthorized(Refused):
    code = "unauthorized"


class UnknownModel(Refused):
    code = "unknown_model"


class Busy(Refused):
    code = "busy"
    retryable = True


class ContextTooLong(Refused):
    code = "context_too_long"


class Rejected(Refused):
    code = "rejected"


class Unavailable(Refused):
    code = "unavailable"
    retryable = True


class UnsupportedParameter(Refused):
    code = "unsupported_parameter"


class Reported(Refused):
    code = "reported"


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
    "unsupported_parameter": UnsupportedParameter,
    "unsupported_value": UnsupportedParameter,
}


def refusal(status: int, code: str) -> type[CompletionError]:
    """Return what a status other than 200 means, with the code that its body names."""
    if kind := BY_CODE.get(code) or BY_STATUS.get(status):
        return kind
    if status >= 500:
        return Unavailable
    return Rejected if status >= 400 else NotAStream


def word(value: Any, limit: int) -> str:
    """Return the printable characters of a string, at most `limit`; nothing for any other value."""
    return "".join(filter(str.isprintable, value))[:limit] if isinstance(value, str) else ""
