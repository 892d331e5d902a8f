"""The process that asks NVML: a driver call may hang or crash, and takes this process with it, no other.

Started as `python child.py FOLDER...` with the folders of this package and of the binding, so that the
interpreter need not look for them itself. It prints one JSON object a line, each as soon as it is known, so that
what was found before a hang is kept. It looks for the driver's library before it imports anything: on a machine
without one, which is most, nearly all of the time would go into imports.
"""

import os
import sys

NO_LIBRARY = '{"status": {"error": {"code": 12, "name": "LIBRARY_NOT_FOUND"}}}'
_LIBRARY = "libnvidia-ml.so.1"


def library_problem(platform: str = sys.platform) -> str | None:
    """Why the driver's library cannot be loaded, empty if it is not there; None if it can, or the binding looks.

    The same library by the same way as the binding, so `LD_LIBRARY_PATH` and the like count. On Windows the
    binding has places of its own to look at.
    """
    if platform == "win32":
        return None
    try:
        import ctypes  # noqa: PLC0415  # some Python builds lack it

        ctypes.CDLL(_LIBRARY)
    except OSError as error:
        text = str(error)
        itself = _LIBRARY in text and "needed by" not in text
        return "" if itself and "no such file" in text.lower() else text
    except ImportError:
        return None
    return None


def main() -> None:
    """Print what NVML says, one line a piece, with the driver's own chatter kept off stdout."""
    sys.path += sys.argv[1:]
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with out:
        problem = library_problem()
        if problem == "":
            out.write(NO_LIBRARY + "\n")
            return
        from planner.probe.nvidia.ask import write_report  # noqa: PLC0415  # see above

        write_report(out, problem)


if __name__ == "__main__":
    main()
    # No clean-up: a library that crashes while unloading must not spoil what was found.
    os._exit(0)
