"""Which models there are, at which endpoint, and how each continues an answer."""

from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from typing import Protocol, Self

from django.conf import settings

from chat.completions import DEFAULTS, Endpoint, Event, Limits, Parameters
from chat.demo import Demo
from chat.models import User


class Source(Protocol):
    """What answers: an endpoint, or the built-in demo."""

    def stream(
        self,
        model: str,
        messages: list[dict[str, str]],
        continuation: str = "none",
        parameters: Parameters = DEFAULTS,
    ) -> AsyncGenerator[list[Event]]: ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Model:
    """A model that people can choose; `continuation` is how it continues an answer, as in CHAT_CONTINUE."""

    name: str
    source: Source
    continuation: str = "none"

    @property
    def continues(self) -> bool:
        """Whether it can be given the beginning of its answer."""
        return self.continuation != "none"

    def stream(self, messages: list[dict[str, str]], parameters: Parameters = DEFAULTS) -> AsyncGenerator[list[Event]]:
        return self.source.stream(self.name, messages, self.continuation, parameters)


class Catalog:
    """All models; the first one is the default."""

    def __init__(self, models: Iterable[Model]) -> None:
        self._models = {model.name: model for model in models}

    @classmethod
    def from_settings(cls) -> Self:
        source: Source = Demo(settings.DEBUG, settings.CHAT_GAP_SECONDS) if settings.CHAT_DEMO else _endpoint()
        return cls(Model(name, source, settings.CHAT_CONTINUE[name]) for name in settings.OPENAI_MODELS)

    @property
    def names(self) -> list[str]:
        return list(self._models)

    def models_for(self, person: User) -> list[Model]:
        """The models that this person may use."""
        return list(self._models.values())

    def choose(self, person: User, name: str) -> Model:
        """The named model, or the first one if this person may not use it or it no longer exists."""
        offered = self.models_for(person)
        return next((model for model in offered if model.name == name), offered[0])

    def get(self, name: str) -> Model:
        """The named model; one that is no longer in the settings is requested from the first one's endpoint."""
        return self._models.get(name) or Model(name, next(iter(self._models.values())).source)

    async def aclose(self) -> None:
        for source in {id(model.source): model.source for model in self._models.values()}.values():
            await source.aclose()


def _endpoint() -> Endpoint:
    limits = Limits(
        settings.CHAT_CONNECT_SECONDS,
        settings.CHAT_FIRST_PIECE_SECONDS,
        settings.CHAT_GAP_SECONDS,
        settings.CHAT_TOTAL_SECONDS,
    )
    return Endpoint(settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY, limits)
