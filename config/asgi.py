"""The ASGI application that Daphne serves."""

import gc
import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup(set_prefix=False)

from chat.worker import worker  # noqa: E402  (needs the apps)
from config.server import daphne  # noqa: E402
from config.server.middleware import Handler  # noqa: E402
from config.server.threads import SharedThreads  # noqa: E402

application = SharedThreads(Handler())  # type: ignore[arg-type]
daphne.extend(begin=worker.keep, drain=worker.drain)

# What has been loaded by now stays: collections need not look at it each time, and rarer ones cost less in all.
gc.freeze()
gc.set_threshold(50_000, 20, 50)
