"""Parley with the frame that the environment names, in seconds."""

import os

# First, as it makes Django ready.
from config.asgi import application  # noqa: F401 (Daphne serves it)

# isort: split
from chat.replylog import commit

commit.FRAME = commit.LONGEST_FRAME = float(os.environ["FRAME"])
