"""What its driver leaves open: to notice that PostgreSQL has gone without a word."""

import os
import select
import socket
from contextlib import suppress
from typing import Any


def check(connection: Any) -> None:
    """Close a connection of the pool that the server has closed, and raise ConnectionError.

    An idle connection has nothing to read until then. Unlike a query, this costs no round trip and never waits.
    """
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    if poll.poll(0):
        # The pool would take it back otherwise: the driver has not read of the end yet.
        connection.close()
        raise ConnectionError


def disconnect(wrapper: Any) -> None:
    """Fail whoever waits for an answer on Django's connection, and trust no idle connection of its pool.

    May be called from any thread.
    """
    if (connection := wrapper.connection) is None:
        return
    # It may be closed in this moment. Those who wait on the socket itself find out that it has been shut down.
    with suppress(Exception), socket.socket(fileno=os.dup(connection.pgconn.socket)) as line:
        line.shutdown(socket.SHUT_RDWR)
    if wrapper.pool:
        wrapper.pool.drain()
