"""Notices that PostgreSQL has gone without a word, which its driver does not."""

import os
import select
import socket
from contextlib import suppress
from typing import Any


def check(connection: Any) -> None:
    """Close a connection of the pool that the server has closed, and raise ConnectionError.

    An idle connection has nothing to read before that. Unlike a query, looking costs no round trip and never waits.
    """
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    if poll.poll(0):
        # Otherwise the pool would take it back: the driver has not read that it is closed.
        connection.close()
        raise ConnectionError


def disconnect(wrapper: Any) -> None:
    """Fail the work that waits for an answer on Django's connection, and drop the idle connections of its pool.

    May be called from any thread.
    """
    if (connection := wrapper.connection) is None:
        return
    # It may be closed at this moment. Whatever waits on the socket learns that it has been shut down.
    with suppress(Exception), socket.socket(fileno=os.dup(connection.pgconn.socket)) as line:
        line.shutdown(socket.SHUT_RDWR)
    if wrapper.pool:
        wrapper.pool.drain()
