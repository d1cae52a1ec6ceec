"""A relay as a tutorial of Django would write it: it reads each line, and stores nothing.

ENDPOINT=http://127.0.0.1:9000/ daphne -p 8001 tests.bench.relays.naive:application
"""

import json
import os
from collections.abc import AsyncIterator

import django
import httpx
from django.conf import settings

settings.configure(
    SECRET_KEY="measured",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    LOGGING_CONFIG=None,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    # As `startproject` lists them.
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
)
django.setup()

from django.core.asgi import get_asgi_application  # noqa: E402  (needs the settings)
from django.http import HttpRequest, StreamingHttpResponse  # noqa: E402
from django.urls import path  # noqa: E402

client = httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=None))


async def answer(request: HttpRequest) -> StreamingHttpResponse:
    body = {"model": "bench", "stream": True, "messages": [{"role": "user", "content": request.GET["q"]}]}
    return StreamingHttpResponse(_events(body), content_type="text/event-stream")


async def _events(body: dict[str, object]) -> AsyncIterator[str]:
    async with client.stream("POST", os.environ["ENDPOINT"], json=body) as response:
        async for line in response.aiter_lines():
            if line.startswith("data: {"):
                text = json.loads(line.removeprefix("data: "))["choices"][0]["delta"].get("content")
                if text:
                    yield f"data: {json.dumps({'text': text})}\n\n"


urlpatterns = [path("", answer)]
application = get_asgi_application()
