"""The report of a crash: one line for people, the traceback in a file of its own."""

import os
from datetime import UTC, datetime
from pathlib import Path


def report_crash(crash: str, state_dir: Path | None = None) -> str:
    """Write a traceback to the log file (readable by its owner alone); returns the one line for people."""
    what = crash.strip().rsplit("\n", 1)[-1][:200]
    try:
        if state_dir is None:
            from planner.config import load_config

            state_dir = load_config().state_dir
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = state_dir / "app-crash.log"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{datetime.now(UTC).isoformat(timespec='seconds')}\n{crash}")
    except Exception as error:  # noqa: BLE001  # a crash report must not crash
        return f"Error: the app crashed ({what}), and its log could not be written: {error}\n"
    return f"Error: the app crashed ({what}). The details are in {path}; please report them.\n"
