"""Which models there are, who may use them, and what becomes of those that are no longer offered."""

from collections.abc import AsyncGenerator

import pytest
from pytest_django import Settings

from chat.catalog import Catalog, Model
from chat.completions import DEFAULTS, Endpoint, Event, Parameters
from chat.demo import Demo
from chat.models import User


class Source:
    """It notes what it is asked for, and answers nothing."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.closed = 0

    async def stream(
        self,
        model: str,
        messages: list[dict[str, str]],
        continuation: str = "none",
        parameters: Parameters = DEFAULTS,
    ) -> AsyncGenerator[list[Event]]:
        self.asked.append((model, continuation))
        yield []

    async def aclose(self) -> None:
        self.closed += 1


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def catalog(source: Source) -> Catalog:
    return Catalog([Model("large", source, "prefix"), Model("small", source)])


def test_people_may_use_all_models_in_their_order(catalog: Catalog) -> None:
    assert catalog.names == ["large", "small"]
    assert [model.name for model in catalog.models_for(User())] == ["large", "small"]


@pytest.mark.parametrize(("name", "chosen"), [("small", "small"), ("gone", "large"), ("", "large")])
def test_the_first_model_replaces_one_that_is_not_offered(catalog: Catalog, name: str, chosen: str) -> None:
    assert catalog.choose(User(), name).name == chosen


@pytest.mark.parametrize(
    ("name", "continues", "asked"),
    [("large", True, ("large", "prefix")), ("small", False, ("small", "none")), ("gone", False, ("gone", "none"))],
)
async def test_a_model_is_asked_for_by_its_name(
    catalog: Catalog, source: Source, name: str, continues: bool, asked: tuple[str, str]
) -> None:
    """One that is no longer offered too, at the first one's endpoint: only that can tell whether it still knows it."""
    model = catalog.get(name)
    assert model.continues == continues
    async for _ in model.stream([]):
        pass
    assert source.asked == [asked]


async def test_each_source_is_closed_once(catalog: Catalog, source: Source) -> None:
    await catalog.aclose()
    assert source.closed == 1


async def test_the_settings_name_models_and_how_they_continue(settings: Settings) -> None:
    settings.CHAT_DEMO = False
    settings.OPENAI_BASE_URL = "http://127.0.0.1:9/v1"
    settings.OPENAI_MODELS = ["large", "small"]
    settings.CHAT_CONTINUE = {"large": "assistant", "small": "none"}
    catalog = Catalog.from_settings()
    large, small = catalog.models_for(User())
    assert (large.continuation, small.continuation) == ("assistant", "none")
    assert isinstance(large.source, Endpoint)
    assert large.source is small.source
    await catalog.aclose()


def test_without_an_endpoint_there_is_the_demo_which_continues() -> None:
    (model,) = Catalog.from_settings().models_for(User())
    assert isinstance(model.source, Demo)
    assert (model.name, model.continues) == ("demo", True)
