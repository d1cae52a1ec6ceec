"""The ASGI application. Any ASGI server can load it; what Daphne needs beyond that is in config/server/daphne.py."""

import gc
import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup(set_prefix=False)

from chat.process import Process  # noqa: E402  (needs the apps)
from config.server.health import Health  # noqa: E402
from config.server.middleware import Handler  # noqa: E402
from config.server.protocols import Protocols  # noqa: E402
from config.server.threads import SharedThreads  # noqa: E402

process = Process.from_settings()
pages = SharedThreads(process.serving(Handler()))  # type: ignore[arg-type]
process.closes(pages.close)
application = Protocols(Health(pages, process), process)

# Only where Daphne has imported this module, so that other servers need no Twisted.
if "daphne.server" in sys.modules:
    from config.server import daphne

    daphne.extend(process)

# Collections need not look at what has been loaded by now, and are rarer. Measured with 100 streams of 50 deltas a
# second: 178 instead of 190 µs of CPU per delta.
gc.freeze()
gc.set_threshold(50_000, 20, 50)
