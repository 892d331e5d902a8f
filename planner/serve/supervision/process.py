"""One engine process: start it, wait until it really answers, watch it, end it with everything it started.

Ready means three things: the log names an address, that address is listened to by this very process (or one it
started) and says healthy, and one real request is answered. Where no log line speaks of an address (a build that says
nothing, a disk that takes no more log), the system is asked where the process listens. There is no fixed time limit:
a start is given up on when neither log nor health has moved for a while.
"""

import asyncio
import contextlib
import os
import re
import signal
import time
from collections import deque
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path

import msgspec
import psutil

from planner.serve.engine.engines import Command
from planner.serve.engine.failure import LaunchError, explain_exit, explain_os_error, last_words
from planner.serve.supervision.family import (
    SIGKILL,
    cpu_seconds,
    create_time,
    is_stopped,
    listener,
    listening,
    members,
    signal_group,
)
from planner.serve.supervision.log_file import LogReader, open_log, rotate
from planner.serve.supervision.readiness import health
from planner.serve.supervision.starvation import oom_kills

STALL_S = 300.0
"""A start without any progress for this long is given up on; a first GPU run may compile for minutes."""
START_LIMIT_S = 3600.0
"""A start that keeps logging but never answers is given up on after this long."""
STOP_GRACE_S = 10.0
_POLL_S = 0.05
_HEALTH_FAILURES = 3
_STOPPED_FAILURES = 2
"""Of a process that is held by a signal and so cannot be busy."""
_LOOK_S = 0.5
"""How often the system is asked where a silent engine listens: it reads every open file of the process."""
_EXIT_S = 1.0
"""How long after a broken request its cause, the end of the engine, may take to be seen."""
_ADDRESS_WORDS = "listening on"
_LISTENING = re.compile(r"listening on http://127\.0\.0\.1:(\d{1,5})(?![\d.])")
_KEPT_LINES = 4000


class Ready(msgspec.Struct, frozen=True):
    """An engine that answers. `listening_pid` is the process that owns the port: the engine, or one it started."""

    url: str
    listening_pid: int
    seconds: float


class EngineProcess:
    """A started engine. Make one with `start`; always `stop` it, whatever happened."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        *,
        name: str,
        log: Path,
        offset: int,
        api_key: str,
        starvation: Callable[[], int | None] = oom_kills,
    ) -> None:
        self._process = process
        self._name = name
        self._log = log
        self._reader = LogReader(log, offset)
        self._api_key = api_key
        self._starvation = starvation
        self._kills_before = starvation()
        self._was_ready = False
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._health_failures = 0
        self._last_progress: tuple[float, int] = (0.0, 0)
        self._stuck_since: float | None = None
        self.create_time = create_time(process.pid)

    @property
    def pid(self) -> int:
        """The process that was started, and the leader of the group everything it starts belongs to."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code (negative: a signal), None while it runs."""
        return self._process.returncode

    @property
    def lines(self) -> list[str]:
        """The log lines of this start, the last few thousand."""
        self._lines.extend(self._reader.read())
        return list(self._lines)

    async def wait_ready(
        self,
        probe: Callable[[str], Awaitable[None]],
        *,
        stall_s: float = STALL_S,
        limit_s: float = START_LIMIT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> Ready:
        """Wait until the engine answers `probe(url)`. Raises LaunchError with the reason when it will not."""
        started = moved = looked = clock()
        candidates: dict[int, None] = {}
        announced = False
        answered = "nothing"
        while True:
            exited = await self._exited_within(_POLL_S)
            offset = self._reader.offset
            new = self._reader.read()
            self._lines.extend(new)
            if exited:
                raise self.explain_exit()
            candidates.update(dict.fromkeys(_ports(new)))
            announced = announced or any(_ADDRESS_WORDS in line for line in new)
            # Not while there is log left to read, which may name the address and tells of the memory.
            if not announced and self._reader.offset == offset and clock() - looked > _LOOK_S:
                looked = clock()
                candidates.update(dict.fromkeys(socket.port for socket in listening(self.pid) or ()))
            if self._reader.offset != offset:
                moved = clock()
            for port in reversed(candidates):
                pid = listener(self.pid, port)
                if pid is None:
                    continue
                url = f"http://127.0.0.1:{port}"
                status = await health(url, self._api_key)
                if status == HTTPStatus.OK:
                    self._check_private()
                    await self._ask(probe, url)
                    self._was_ready = True
                    return Ready(url=url, listening_pid=pid, seconds=clock() - started)
                answered = f"HTTP {status}" if status else "nothing"
            if clock() - moved > stall_s or clock() - started > limit_s:
                raise self._stalled(clock() - moved, answered, ports=tuple(candidates))

    async def wait(self) -> int:
        """Wait until it is gone; its exit code."""
        return await self._process.wait()

    async def is_hung(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> bool:
        """Ask for its health; True once it did not answer three times while doing nothing at all.

        An engine that is busy with long answers may have no thread left for `/health`: as long as it uses the
        processor or writes its log it is given the time of a stalled start.
        """
        if await health(url, self._api_key) == HTTPStatus.OK:
            self._health_failures, self._stuck_since = 0, None
            return False
        self.lines  # noqa: B018  # reading moves the offset
        progress = (cpu_seconds(self.pid), self._reader.offset)
        now = clock()
        self._stuck_since = now if self._stuck_since is None else self._stuck_since
        idle = progress == self._last_progress
        self._last_progress = progress
        self._health_failures = self._health_failures + 1 if idle or not self._health_failures else 1
        limit = _STOPPED_FAILURES if is_stopped(self.pid) else _HEALTH_FAILURES
        return self._health_failures >= limit or now - self._stuck_since > STALL_S

    @property
    def is_suspect(self) -> bool:
        """Whether it is held by a signal and did not answer: it should be asked again soon."""
        return self._health_failures > 0 and is_stopped(self.pid)

    async def stop(self, *, grace_s: float = STOP_GRACE_S) -> int:
        """End it and everything it started: politely, and after `grace_s` not. Returns the exit code."""
        family = members(self.pid)
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self._process.returncode is None:
            signal_group(self.pid, signal.SIGTERM)
            if is_stopped(self.pid):
                grace_s = 0.0  # it cannot see the request
            if not await self._exited_within(grace_s):
                signal_group(self.pid, SIGKILL)
        signal_group(self.pid, SIGKILL)
        for member in family:
            with contextlib.suppress(psutil.Error):
                member.kill()
        return await self._process.wait()

    def explain_exit(self) -> LaunchError:
        """Why it ended, from its exit code and its last words."""
        self._lines.extend(self._reader.drain())
        return explain_exit(
            self._process.returncode or 0,
            list(self._lines),
            engine=self._name,
            secrets=[self._api_key],
            starved=self._starved(),
        )

    def _starved(self) -> bool | None:
        """Whether the kernel has killed for lack of memory since the start.

        While a model loads nobody else has a reason to kill it, and a guard of the user's is not counted: not known.
        """
        before, now = self._kills_before, self._starvation()
        if before is None or now is None or (now == before and not self._was_ready):
            return None
        return now > before

    def keep_log_small(self) -> None:
        """Bound the size of the log file."""
        rotate(self._log)

    def memory_rss_bytes(self) -> int | None:
        """Resident memory of the engine and what it started; pages of the mapped file count."""
        try:
            return sum(int(member.memory_info().rss) for member in members(self.pid))
        except psutil.Error:
            return None

    def _check_private(self) -> None:
        """Nothing an engine opens may be reachable from elsewhere, whatever made it. Raises LaunchError."""
        for socket in listening(self.pid) or ():
            if not socket.is_private:
                raise LaunchError(
                    f"{self._name} listens on {socket.host}:{socket.port}, which others can reach; it was ended.",
                    hint="Arguments built into it, or a system-wide llama.cpp setting, may have opened it: "
                    "planner doctor. Use another engine: --engine embedded.",
                    reference="engine-exposed",
                    permanent=True,
                )

    async def _ask(self, probe: Callable[[str], Awaitable[None]], url: str) -> None:
        """Await `probe(url)`; an engine that ends meanwhile is explained by its end, not by the broken answer."""
        asking = asyncio.ensure_future(probe(url))
        ending = asyncio.ensure_future(self._process.wait())
        try:
            await asyncio.wait({asking, ending}, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise self.explain_exit()
            try:
                await asking
            except LaunchError as error:
                if await self._exited_within(_EXIT_S):
                    raise self.explain_exit() from error
                raise
        finally:
            asking.cancel()
            ending.cancel()
            await asyncio.gather(asking, ending, return_exceptions=True)

    async def _exited_within(self, seconds: float) -> bool:
        if self._process.returncode is not None:
            return True
        try:
            await asyncio.wait_for(self._process.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def _stalled(self, idle_s: float, answered: str, *, ports: tuple[int, ...]) -> LaunchError:
        words = last_words(self._lines, secrets=[self._api_key])
        where = f" It named port {ports[-1]}, where {answered} answered." if ports else " It never named its address."
        return LaunchError(
            f"{self._name} did not become ready; nothing happened for {idle_s:.0f} s.{where}"
            + (f" Its last words: {words}" if words else " It printed nothing."),
            hint="See the whole log: planner logs. Try another engine: --engine embedded.",
            reference="engine-stalled",
        )


async def start(command: Command, *, name: str, log: Path, cwd: Path, api_key: str) -> EngineProcess:
    """Start an engine in a session of its own, its output in `log`. Raises LaunchError when it cannot be executed."""
    try:
        descriptor = open_log(log)
    except OSError:
        # No room for a log is no reason not to run: where it listens is asked of the system.
        descriptor = os.open(os.devnull, os.O_WRONLY)
    try:
        offset = os.fstat(descriptor).st_size
        process = await asyncio.create_subprocess_exec(
            *command.argv,
            stdin=asyncio.subprocess.PIPE if command.stdin is not None else asyncio.subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            env=dict(command.environ),
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as error:
        raise explain_os_error(error, command.argv[0]) from error
    finally:
        os.close(descriptor)
    if process.stdin is not None and command.stdin is not None:
        # A child that died at once has closed its end; its exit tells why.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            process.stdin.write(command.stdin)
            await process.stdin.drain()
    return EngineProcess(process, name=name, log=log, offset=offset, api_key=api_key)


def _ports(lines: list[str]) -> list[int]:
    """Ports the lines claim to listen on. A log can be made to say anything; the listener is checked afterwards."""
    found = (int(match[1]) for line in lines for match in _LISTENING.finditer(line))
    return [port for port in found if 0 < port < 2**16]
