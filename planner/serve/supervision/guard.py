"""A process that outlives a supervisor by a second, to end what that one's engines have started.

The kernel ends an engine with its supervisor, on Linux alone, and only the engine itself: not a server it may have
forked (llamafile was reported to), and nothing at all on other systems. The guard reads a pipe that only the
supervisor holds open. Whatever ends the supervisor closes it, and the guard ends the engines' process groups.
"""

import asyncio
import contextlib
import os
import sys
from pathlib import Path

_GUARD = """
import os, signal, sys, time
if os.fork():
    os._exit(0)  # nobody's child: who ends a supervisor with its children does not end this
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
for number, seconds in ((signal.SIGTERM, 1.0), (signal.SIGKILL, 0.0)):
    for group in tuple(groups):
        try:
            os.killpg(group, number)
        except OSError:
            groups.discard(group)
    end = time.monotonic() + seconds
    while groups and time.monotonic() < end:
        time.sleep(0.05)
        for group in tuple(groups):
            try:
                os.killpg(group, 0)
            except OSError:
                groups.discard(group)
"""


class Guard:
    """Told of process groups by `watch` and `forget`; on systems without groups it does nothing."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._pipe: int | None = None
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Start it, if it is not there yet. Without it, engines are still ended at the next start or stop."""
        async with self._starting:
            if self._pipe is None and os.name != "nt":
                await self._start()

    async def _start(self) -> None:
        read, write = os.pipe()
        try:
            # The folder is there to be seen in the list of processes.
            begun = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", "-c", _GUARD, str(self._home)),
                stdin=read,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                cwd="/",
                env={},
                start_new_session=True,
            )
            await begun.wait()
        except OSError:
            os.close(write)
            return
        finally:
            os.close(read)
        self._pipe = write

    def watch(self, group: int) -> None:
        """Should the supervisor die, end this process group."""
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """It has ended; its number may be anybody's from now on."""
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """End the guard; what it still watches ends with it."""
        if self._pipe is not None:
            with contextlib.suppress(OSError):
                os.close(self._pipe)
            self._pipe = None

    def _tell(self, line: str) -> None:
        if self._pipe is not None:
            with contextlib.suppress(OSError):
                os.write(self._pipe, line.encode())
