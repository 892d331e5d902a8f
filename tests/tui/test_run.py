"""The program around the app: exit codes, crashes, real terminals."""

import os
import select
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from planner.tui.app import PlannerApp
from planner.tui.app import __file__ as app_file
from planner.tui.crash import report_crash
from tests.tui.conftest import planned
from tests.tui.world import World

pty = pytest.importorskip("pty")


class Terminal:
    """A program on a pseudo-terminal of 100 columns and 30 rows."""

    def __init__(self, *arguments: str, **environ: str) -> None:
        import fcntl
        import struct
        import termios

        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.seen = b""
        self.is_open = True
        self.process = subprocess.Popen(
            [sys.executable, "-P", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", **environ},
            start_new_session=True,
        )

    def resize(self, columns: int, rows: int) -> None:
        """What a terminal does when its window changes."""
        import fcntl
        import struct
        import termios

        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.seen = b""
        self.process.send_signal(signal.SIGWINCH)

    def read_until(self, wanted: bytes, deadline_s: float = 30.0) -> None:
        """Read until it has been seen; also at the end of the program."""
        deadline = time.monotonic() + deadline_s
        while wanted not in self.seen:
            assert time.monotonic() < deadline, f"{wanted!r} never came: {self.seen[-2000:]!r}"
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += os.read(self.master, 65536)

    def end(self, deadline_s: float = 30.0) -> int:
        """Read what comes until it ended; its exit code."""
        deadline = time.monotonic() + deadline_s
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "it does not end"
            if select.select([self.master], [], [], 0.05)[0]:
                self.seen += os.read(self.master, 65536)
        while select.select([self.master], [], [], 0.05)[0]:
            self.seen += os.read(self.master, 65536)
        return self.process.returncode

    @property
    def restored(self) -> bool:
        """Whether line mode, the cursor and the normal screen are back."""
        import termios

        same = termios.tcgetattr(self.slave)[:4] == self.before[:4]
        return same and b"\x1b[?1049l" in self.seen and b"\x1b[?25h" in self.seen

    def hang_up(self) -> None:
        """What closing a terminal's window does."""
        os.close(self.slave)
        os.close(self.master)
        self.is_open = False

    def close(self) -> None:
        """End it, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.is_open:
            self.hang_up()


@pytest.fixture
def terminal(request: pytest.FixtureRequest) -> Iterator[Terminal]:
    """The app with a fake world in which looking at the machine does what the parameter says."""
    code = (
        "import sys, time\n"
        "from planner.tui.run import run\n"
        "from planner.tui.services import Services\n"
        f"def look():\n    {request.param}\n"
        "sys.exit(run(Services(look=look, servers=lambda: ())))\n"
    )
    program = Terminal("-c", code)
    yield program
    program.close()


HANGS = "time.sleep(600)"


@pytest.mark.parametrize("terminal", [HANGS], indirect=True)
def test_quits_with_code_0_while_the_probe_hangs_and_restores_the_terminal(terminal: Terminal) -> None:
    terminal.read_until(b"Quit")
    os.write(terminal.master, b"q")
    assert terminal.end() == 0
    assert terminal.restored


@pytest.mark.parametrize("terminal", [HANGS], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_termination_signal_restores_the_terminal(terminal: Terminal, number: signal.Signals) -> None:
    terminal.read_until(b"Quit")
    terminal.process.send_signal(number)
    assert terminal.end() == 128 + number
    assert terminal.restored


@pytest.mark.parametrize("every_s", [60.0, 0.005])
def test_a_terminal_that_is_gone_ends_the_app_also_while_it_draws(every_s: float, tmp_path: Path) -> None:
    # Lines that nobody takes any more fill the queue of the app's writer, and the app waits for room in it.
    program = tmp_path / "busy.py"
    program.write_text(
        "import sys\n"
        "from planner.tui import run\n"
        "from planner.tui.app import PlannerApp\n"
        "from planner.tui.services import Services\n"
        "class Busy(PlannerApp):\n"
        f"    CSS_PATH = {str(Path(app_file).with_name('planner.tcss'))!r}\n"
        "    def on_mount(self):\n"
        "        super().on_mount()\n"
        f"        self.set_interval({every_s}, lambda: self.screen.refresh(layout=True))\n"
        "run.PlannerApp = Busy\n"
        "sys.exit(run.run(Services(servers=lambda: ())))\n"
    )
    terminal = Terminal(str(program))
    try:
        terminal.read_until(b"Quit")
        terminal.hang_up()
        assert terminal.process.wait(30) == 129
    finally:
        terminal.close()


@pytest.mark.parametrize("terminal", [HANGS], indirect=True)
def test_a_terminal_of_one_cell_and_back_loses_nothing(terminal: Terminal) -> None:
    terminal.read_until(b"Quit")
    terminal.resize(1, 1)
    terminal.read_until(b"\x1b[")
    terminal.resize(100, 30)
    terminal.read_until(b"looking at this machine")
    os.write(terminal.master, b"q")
    assert terminal.end() == 0
    assert terminal.restored


@pytest.fixture
def planner() -> Iterator[Callable[..., Terminal]]:
    """Starts the real `planner` on a terminal."""
    started: list[Terminal] = []

    def start(*arguments: str, **environ: str) -> Terminal:
        started.append(Terminal("-m", "planner", *arguments, **environ))
        return started[-1]

    yield start
    for terminal in started:
        terminal.close()


def test_the_app_opens_at_a_screen_with_plans_for_this_machine_and_quits(planner: Callable[..., Terminal]) -> None:
    terminal = planner("--screen", "home")
    terminal.read_until("▸".encode(), 60)
    os.write(terminal.master, b"q")
    assert terminal.end() == 0
    assert terminal.restored


def test_a_broken_catalog_is_told_inside_the_app_not_instead_of_it(
    planner: Callable[..., Terminal], tmp_path: Path
) -> None:
    folder = tmp_path / "home" / "config" / "planner" / "catalog"
    folder.mkdir(parents=True)
    (folder / "mine.json").write_text("{")
    terminal = planner()
    terminal.read_until(b"Press t for the starter pair", 60)
    os.write(terminal.master, b"q")
    assert terminal.end() == 0
    assert terminal.restored


def test_a_dumb_terminal_gets_a_plain_recommendation(planner: Callable[..., Terminal]) -> None:
    terminal = planner(TERM="dumb")
    assert terminal.end(60) == 0
    assert b"planner up " in terminal.seen
    assert b"\x1b[" not in terminal.seen


def test_an_unknown_screen_never_opens_the_app(planner: Callable[..., Terminal]) -> None:
    terminal = planner("--screen", "hom")
    assert terminal.end(60) == 2
    assert b"Screens: home" in terminal.seen
    assert b"\x1b[?1049h" not in terminal.seen


def test_a_child_that_looks_for_ever_ends_with_the_app(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    child = f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    terminal = Terminal(
        "-c",
        "import sys\n"
        "from planner.tui.run import run\n"
        "from planner.tui.data.aside import Aside\n"
        f"aside = Aside((sys.executable, '-I', '-c', {child!r}))\n"
        "aside.begin()\n"
        "sys.exit(run(aside=aside))\n",
    )
    try:
        terminal.read_until(b"Quit")
        while not pid_file.exists() or not pid_file.read_text():
            time.sleep(0.01)
        os.write(terminal.master, b"q")
        assert terminal.end() == 0
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid_file.read_text()), 0)
    finally:
        terminal.close()


CRASHES = "return object()"


@pytest.mark.parametrize("terminal", [CRASHES], indirect=True)
def test_a_crash_is_one_line_and_a_log_file_only_the_owner_can_read(terminal: Terminal, tmp_path: Path) -> None:
    assert terminal.end() == 1
    assert terminal.restored
    assert b"Error: the app crashed" in terminal.seen
    assert b"Traceback" not in terminal.seen
    (log,) = (tmp_path / "home").rglob("app-crash.log")
    assert "Traceback" in log.read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_a_crash_report_survives_a_folder_it_cannot_write_to(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    assert "could not be written" in report_crash("Traceback\nValueError: x", blocked)


async def test_an_exception_in_a_handler_is_kept_for_the_log(world: World) -> None:
    app = PlannerApp(world.services)

    def broken() -> None:
        raise LookupError("a bug")

    async def drive() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            await planned(pilot)
            app.call_later(broken)
            await pilot.pause(0.1)

    with pytest.raises(LookupError):
        await drive()
    assert app.crash is not None
    assert "a bug" in app.crash
    assert app.return_code == 1
