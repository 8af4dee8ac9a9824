"""How many files and connections this process may have open at once (getrlimit(2), RLIMIT_NOFILE)."""

import logging
import resource

MOST_CONNECTIONS = 4096
"""Requests and WebSockets together."""

FOR_THE_WORK = 1024
"""What jobs, scans, tools, the database and Globus have open beside them, and more than that."""

WANTED = MOST_CONNECTIONS + FOR_THE_WORK

_log = logging.getLogger(__name__)


def room_for_connections(wanted: int = WANTED) -> int:
    """Have as many descriptors as are wanted, as far as the host allows; how many connections leave room for the work.

    What the host allows less than that is told in the log.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    room = connections_within(soft)
    if room < MOST_CONNECTIONS:
        _log.warning(
            "this host lets the service open %d files only: up to %d connections are taken at once; "
            "set LimitNOFILE=%d in its unit",
            soft,
            room,
            WANTED,
        )
    return room


def connections_within(limit: int) -> int:
    """Of so many descriptors, for connections; at least half of them stay for the work where they are few."""
    if limit == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return min(MOST_CONNECTIONS, limit - min(FOR_THE_WORK, limit // 2))
