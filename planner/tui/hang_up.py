"""Notices that the terminal is gone, also when the app itself no longer can.

A closed window sends SIGHUP where the terminal is the session's own, and nothing where it is not. Textual's writer
ends with the first line that nobody takes, its queue fills, and then the loop that should act on the signal waits for
room in it: the app would stay behind for ever, reading a terminal that always has an end of file to read.
"""

import os
import select
import sys
import threading
from collections.abc import Callable

GRACE_S = 3.0
"""How long the app has to end by itself."""
_LOOK_EVERY_MS = 1000
GONE = 129
"""The exit code of a program that a hang-up ended: 128 + SIGHUP."""


def watch_terminal(told: Callable[[], None], last: Callable[[], None]) -> threading.Event:
    """Watch standard output from a thread that waits: when it hangs up, call `told`, and end the process soon.

    `last` is called before the process ends by force. Returns an event that stops the watch. On systems that cannot
    wait for a hang-up nothing is watched.
    """
    stop = threading.Event()
    if hasattr(select, "poll") and sys.stdout is not None and sys.stdout.isatty():
        arguments = (sys.stdout.fileno(), stop, told, last)
        threading.Thread(target=_watch, args=arguments, name="hang-up", daemon=True).start()
    return stop


def _watch(descriptor: int, stop: threading.Event, told: Callable[[], None], last: Callable[[], None]) -> None:
    poll = select.poll()
    poll.register(descriptor, 0)  # a hang-up is always reported
    while not stop.is_set():
        found = poll.poll(_LOOK_EVERY_MS)
        if any(events & select.POLLNVAL for _, events in found):
            return
        if found:
            told()
            if not stop.wait(GRACE_S):
                last()
                os._exit(GONE)
            return
