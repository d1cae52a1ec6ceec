"""The ASGI application. Any ASGI server can load it; what Daphne needs beyond that is in config/server/daphne.py."""

import gc
import os
import sys

import django

# Before Django starts, as its settings may name Daphne too.
served_by_daphne = "daphne.server" in sys.modules

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup(set_prefix=False)

from chat.process import Process  # noqa: E402  (needs the apps)
from config.server.health import Health  # noqa: E402
from config.server.middleware import Handler  # noqa: E402
from config.server.protocols import Protocols  # noqa: E402
from config.server.threads import SharedThreads  # noqa: E402

process = Process.from_settings()
pages = SharedThreads(process.serving(Handler()))  # type: ignore[arg-type]
application = Protocols(Health(pages, process), process)

if served_by_daphne:
    from config.server import daphne

    daphne.extend(process)

# What has been loaded by now stays: collections need not look at it each time, and rarer ones cost less in all.
gc.freeze()
gc.set_threshold(50_000, 20, 50)
