"""The ASGI application. Any ASGI server can load it; what Daphne needs beyond that is in config/server/daphne.py."""

import os
import sys

import django

# Daphne imports this module; under another server nothing here may import Twisted.
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
