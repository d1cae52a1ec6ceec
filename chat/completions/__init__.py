"""An OpenAI-compatible endpoint: asks `POST {base_url}/chat/completions` and turns its stream into events."""

from chat.completions.decoder import Completion, Event
from chat.completions.endpoint import DEFAULTS, Endpoint, Limits, Parameters
from chat.completions.errors import CompletionError, CutOff, Stalled, TooLarge, Unavailable

__all__ = [
    "DEFAULTS",
    "Completion",
    "CompletionError",
    "CutOff",
    "Endpoint",
    "Event",
    "Limits",
    "Parameters",
    "Stalled",
    "TooLarge",
    "Unavailable",
]
