"""The child process: its lines, its answer, and every way it may end."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from planner.core.launch.events import Event, NoteTold, ProgressTold, Step, StepState, StepTold, encode_event
from planner.tui.child import ChildJob, LineSplitter, Outcome

Run = Callable[[str], tuple[Outcome, list[tuple[str, bool]]]]


@pytest.fixture
def run() -> Run:
    """Run a Python text as if it were `planner`; returns the outcome and what it said."""

    def start(code: str) -> tuple[Outcome, list[tuple[str, bool]]]:
        said: list[tuple[str, bool]] = []
        job = ChildJob(
            ["up"],
            lambda text, transient: said.append((text, transient)),
            command=(sys.executable, "-I", "-c", code),
            environ=os.environ,
        )
        return job.wait(), said

    return start


def test_an_answer_and_its_narration(run: Run) -> None:
    outcome, said = run(
        'import sys; sys.stderr.write(\'planning\\nfetching\\n\'); print(\'{"deployment": {"name": "default"}}\')'
    )
    assert outcome == Outcome({"deployment": {"name": "default"}})
    assert [text for text, transient in said if not transient] == ["planning", "fetching"]


def test_an_error_in_the_contracts_form(run: Run) -> None:
    outcome, _ = run(
        'import sys; print(\'{"error": {"reference": "no-space", "message": "Full.", "hint": "Free some."}}\');'
        "sys.exit(5)"
    )
    assert outcome.problem is not None
    assert (outcome.problem.reference, outcome.problem.message, outcome.problem.hint) == (
        "no-space",
        "Full.",
        "Free some.",
    )


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("import sys; sys.stderr.write('one\\nlast words\\n'); sys.exit(1)", "ended with exit code 1"),
        ("import os, sys; print('last words', file=sys.stderr, flush=True); os.kill(os.getpid(), 9)", "signal 9"),
        ("import sys; print('last words', file=sys.stderr); print('[1, 2]'); sys.exit(3)", "ended with exit code 3"),
        ("import sys; print('last words', file=sys.stderr); print('{\"error\": 7}')", "ended with exit code 0"),
        ("import sys; print('last words', file=sys.stderr); print('[' * 200000)", "ended with exit code 0"),
    ],
)
def test_an_end_without_an_answer_is_told_with_its_last_words(run: Run, code: str, how: str) -> None:
    outcome, _ = run(code)
    assert outcome.problem is not None
    assert how in outcome.problem.message
    assert "last words" in outcome.problem.hint
    assert outcome.problem.reference == "no-answer"


def test_a_grandchild_that_keeps_the_streams_open_is_not_waited_for(run: Run, tmp_path: Path) -> None:
    lock = tmp_path / "alive"
    lock.touch()
    outcome, _ = run(
        "import subprocess, sys\n"
        "code = 'import os, sys, time\\nfor _ in range(600):\\n    time.sleep(0.1)\\n"
        "    if not os.path.exists(sys.argv[1]): break'\n"
        f"subprocess.Popen([sys.executable, '-I', '-c', code, {str(lock)!r}])\n"
        "print('{\"deployment\": {}}')"
    )
    assert outcome.problem is None
    lock.unlink()


def test_events_come_apart_from_lines_and_notes_are_lines() -> None:
    said: list[tuple[str, bool]] = []
    told: list[Event] = []
    events = (
        StepTold(Step.FETCH, StepState.BEGUN, "embedding"),
        ProgressTold("bge-m3:F16", "downloading", 5, 10),
        NoteTold("engine: embedded \x1b[31m"),
    )
    code = f"import sys\nfor line in {[encode_event(event) for event in events]!r} + ['{{\"event\": 1}}', 'plain']:\n"
    job = ChildJob(
        ["up"],
        lambda text, transient: said.append((text, transient)),
        told.append,
        command=(sys.executable, "-I", "-c", code + "    print(line, file=sys.stderr)\nprint('{\"a\": 1}')"),
        environ=os.environ,
    )
    assert job.wait() == Outcome({"a": 1})
    assert told == list(events[:2])
    assert said == [("engine: embedded [31m", False), ('{"event": 1}', False), ("plain", False)]


def test_only_a_reader_of_events_asks_for_them() -> None:
    modes = []
    for on_event in (None, lambda _event: None):
        code = "import os; print('{\"mode\": \"%s\"}' % os.environ['PLANNER_PROGRESS'])"
        job = ChildJob(
            ["up"], lambda *_: None, on_event, command=(sys.executable, "-I", "-c", code), environ=os.environ
        )
        modes.append(job.wait().answer["mode"])
    assert modes == ["redraw", "events"]


def test_an_interrupt_ends_it_and_counts_as_cancelled() -> None:
    ready: list[str] = []

    def interrupt_when_ready(text: str, _transient: bool) -> None:
        ready.append(text)
        job.interrupt()

    job = ChildJob(
        ["up"],
        interrupt_when_ready,
        command=(
            sys.executable,
            "-I",
            "-c",
            "import sys, time\nprint('ready', file=sys.stderr, flush=True)\n"
            "try:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    print('{}'); sys.exit(130)",
        ),
        environ=os.environ,
    )
    outcome = job.wait()
    assert ready == ["ready"]
    assert outcome.cancelled
    job.settle(5)


def test_the_child_never_runs_what_lies_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from planner.tui.child import start_child

    (tmp_path / "planner").mkdir()
    (tmp_path / "planner" / "__main__.py").write_text("print('{\"stolen\": true}')")
    monkeypatch.chdir(tmp_path)
    outcome = start_child(["models", "--json"], lambda _text, _transient: None).wait()
    assert outcome.problem is None
    assert "models" in outcome.answer


def test_redrawn_lines_are_progress_and_whole_lines_are_the_log() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"engine: ok\n\r\x1b[2Kbge 10 %") == [("engine: ok", False), ("bge 10 %", True)]
    assert splitter.feed(b"\r\x1b[2Kbge 20 %\r\x1b[2Kbge 30 %") == [("bge 30 %", True)]
    assert splitter.feed(b"\r\x1b[2Kbge 100 %\nready\r\n") == [("bge 100 %", False), ("ready", False)]
    assert splitter.rest() == []


def test_hostile_output_is_bounded_and_stripped() -> None:
    splitter = LineSplitter()
    for _ in range(100):
        found = splitter.feed(b"\xff\x1b]0;title\x07\x1b[31mx" * 2000)
        assert all(len(text) <= LineSplitter.MAX_LINE for text, _ in found)
        assert all("\x1b" not in text and "\x07" not in text for text, _ in found)


def test_a_line_in_pieces_is_one_line() -> None:
    splitter = LineSplitter()
    assert splitter.feed("é".encode()[:1]) == [("\ufffd", True)]
    assert splitter.feed("é".encode()[1:] + b"t\xc3\xa9\n") == [("été", False)]
