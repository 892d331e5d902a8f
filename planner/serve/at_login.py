"""Files that start a deployment when its user logs in: a systemd user unit, a property list for launchd."""

import plistlib
from collections.abc import Mapping, Sequence
from pathlib import Path

KEPT_VARIABLES = ("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
"""Where planner's own files lie; a session manager does not know what a shell has set."""
_STOP_S = 45
"""Longer than a supervisor gives its engines."""
_RESTART_S = 15


def kept_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What of the environment the deployment needs to find its files again; no secret is among it."""
    return {name: environ[name] for name in KEPT_VARIABLES if environ.get(name)}


def unit_name(name: str) -> str:
    """The file name of a deployment's systemd unit."""
    return f"planner-{name}.service"


def label(name: str) -> str:
    """The name launchd knows a deployment by."""
    return f"org.planner.{name}"


def systemd_unit(
    name: str, argv: Sequence[str], *, environ: Mapping[str, str], serves: str, folder: Path | None = None
) -> str:
    """A user unit that runs `argv` in the foreground, in `folder`. `serves` says what, for `systemctl status`.

    Exit codes 2 to 5 are wishes and data that will not get better by themselves (docs/json.md): no restart.
    """
    variables = "".join(f"Environment={_quoted(f'{key}={value}')}\n" for key, value in environ.items())
    place = "" if folder is None else f"WorkingDirectory={_plain(str(folder))}\n"
    return (
        "[Unit]\n"
        f"Description={_plain(f'planner: {name} ({serves})')}\n"
        "StartLimitIntervalSec=300\n"
        "StartLimitBurst=5\n"
        "\n"
        "[Service]\n"
        "Type=exec\n"
        # Only here a dollar sign begins a variable.
        f"ExecStart={' '.join(_quoted(word).replace('$', '$$') for word in argv)}\n"
        f"{variables}"
        f"{place}"
        "Restart=on-failure\n"
        f"RestartSec={_RESTART_S}\n"
        "RestartPreventExitStatus=2 3 4 5\n"
        "SuccessExitStatus=130\n"
        # The command ends its supervisor, and that its engines: each gets its time.
        "KillMode=mixed\n"
        f"TimeoutStopSec={_STOP_S}\n"
        "NoNewPrivileges=yes\n"
        "\n"
        "[Install]\n"
        "WantedBy=default.target\n"
    )


def launchd_plist(
    name: str, argv: Sequence[str], *, environ: Mapping[str, str], log: Path, folder: Path | None = None
) -> str:
    """A launch agent that runs `argv` in the foreground, in `folder`, and starts it again after a failure."""
    body: dict[str, object] = {
        "Label": label(name),
        "ProgramArguments": list(argv),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": _RESTART_S,
        "ExitTimeOut": _STOP_S,
        "StandardOutPath": str(log),
        "StandardErrorPath": str(log),
    }
    if folder is not None:
        body["WorkingDirectory"] = str(folder)
    if environ:
        body["EnvironmentVariables"] = dict(environ)
    return plistlib.dumps(body, sort_keys=False).decode()


def _quoted(text: str) -> str:
    """A word of a command line in a unit: in quotes, with systemd's specifiers switched off."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{_plain_line(escaped)}"'


def _plain(text: str) -> str:
    return _plain_line(text.replace("%", "%%"))


def _plain_line(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
