"""Static files: how they are collected, and WhiteNoise as asynchronous middleware."""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from asgiref.sync import markcoroutinefunction, sync_to_async
from django.core.files.base import ContentFile
from django.core.files.storage import Storage
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rjsmin import jsmin
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.storage import CompressedManifestStaticFilesStorage


def smaller_style(style: bytes) -> bytes:
    """The style without comments and indentation, also in strings, in which ours have neither.

    That is most of what can be saved, and cannot change a rule: rcssmin makes `.a:is(.b)` of `.a :is(.b)` in a query.
    """
    return re.sub(rb"/\*.*?\*/|(?<=\n)\s+", b"", style, flags=re.DOTALL)


# What makes our own scripts and styles smaller, by folder. What others have published stays as it is.
MINIFIERS: dict[str, Callable[[bytes], bytes]] = {"js/": jsmin, "css/": smaller_style}


class Minified:
    """What a storage holds, without comments and without the white space that it does not need."""

    def __init__(self, storage: Storage, minify: Callable[[bytes], bytes]) -> None:
        self._storage = storage
        self._minify = minify

    def open(self, name: str) -> "ContentFile[bytes]":
        with self._storage.open(name) as file:
            return ContentFile(self._minify(file.read()))


class HashedStaticFilesStorage(CompressedManifestStaticFilesStorage):
    """Puts a hash of the content into file names, also where JavaScript modules import each other."""

    support_js_module_import_aggregation = True

    def post_process(self, paths: Mapping[str, tuple[Any, str]], *args: Any, **options: Any) -> Any:
        minified = dict(paths)
        for folder, minify in MINIFIERS.items():
            ours = {name: file for name, file in paths.items() if name.startswith(folder)}
            minified |= {name: (Minified(storage, minify), path) for name, (storage, path) in ours.items()}
        return super().post_process(minified, *args, **options)

    def compress_files(self, paths: Iterable[str]) -> Any:
        # No page asks for the others, and Brotli at its best takes time.
        return super().compress_files(set(paths) & set(self.hashed_files.values()))

    def stored_name(self, name: str) -> str:
        try:
            return str(super().stored_name(name))
        except ValueError:
            # Not collected: WhiteNoise serves the file from its source, and a system check says what to do.
            return name


class StaticFilesMiddleware(WhiteNoiseMiddleware):
    """WhiteNoise's own is synchronous, and Django keeps a thread for synchronous middleware while the view runs."""

    sync_capable = False
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]]) -> None:
        super().__init__(get_response)
        markcoroutinefunction(self)

    def add_files(self, root: str, prefix: str | None = None) -> None:
        # Without collected files there is no folder, and the finders find the sources.
        if Path(root).is_dir():
            super().add_files(root, prefix)

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        find = sync_to_async(self.find_file) if self.autorefresh else self._known_file
        static_file = await find(request.path_info) if request.path_info.startswith(self.static_prefix) else None
        if static_file is None:
            response: HttpResponseBase = await self.get_response(request)
            return response
        return await sync_to_async(self._read)(static_file, request)

    async def _known_file(self, path: str) -> object:
        return self.files.get(path)

    def _read(self, static_file: Any, request: HttpRequest) -> HttpResponse:
        """A static file is small: read whole, it needs no iterator, which ASGI would run in a thread."""
        answer = static_file.get_response(request.method, request.META)
        headers = dict(answer.headers)
        if answer.file is None:
            return HttpResponse(status=answer.status, headers=headers)
        with closing(answer.file) as file:
            return HttpResponse(file.read(), status=answer.status, headers=headers)
