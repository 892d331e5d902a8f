"""The program around the app: exit codes, crashes, real terminals."""

import os
import select
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from planner.tui.app import PlannerApp, report_crash
from tests.tui.conftest import planned
from tests.tui.world import World

pty = pytest.importorskip("pty")


class Terminal:
    """A program on a pseudo-terminal of 100 columns and 30 rows."""

    def __init__(self, code: str) -> None:
        import fcntl
        import struct
        import termios

        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.seen = b""
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", code],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8"},
            start_new_session=True,
        )

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

    def close(self) -> None:
        """End it, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal(request: pytest.FixtureRequest) -> Iterator[Terminal]:
    """The app with a fake world in which looking at the machine does what the parameter says."""
    code = (
        "import sys, time\n"
        "from planner.tui.app import run\n"
        "from planner.tui.services import Services\n"
        f"def look():\n    {request.param}\n"
        "sys.exit(run(Services(look=look, servers=lambda: ())))\n"
    )
    program = Terminal(code)
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
def test_a_termination_signal_restores_the_terminal(terminal: Terminal) -> None:
    terminal.read_until(b"Quit")
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.end() == 128 + signal.SIGTERM
    assert terminal.restored


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
