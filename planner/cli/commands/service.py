"""`planner service`: a deployment that starts when its user logs in."""

import os
import shlex
import sys
from pathlib import Path

import click

from planner.cli.output import write_json, write_lines
from planner.cli.session import Session, common_options
from planner.errors import NoResultError, UsageError
from planner.serve.state import DEFAULT_NAME, DeploymentSpec, Home

_FORMATS = ("systemd", "launchd")


@click.command(short_help="Start a deployment at login (systemd, launchd).")
@click.argument("name", default=DEFAULT_NAME)
@click.option("--format", "kind", type=click.Choice(_FORMATS), help="For which system.  [default: this one's]")
@click.option("--install", is_flag=True, help="Put the file where the system looks for it; enabling it stays yours.")
@common_options
def service(session: Session, *, name: str, kind: str | None, install: bool) -> None:
    r"""Print a file that starts a deployment at login, just as it was started before.

    NAME must have been started once: what it runs is saved beside your settings, and the service starts that, without
    a network. It holds no key. Nothing is enabled: the commands for that are printed.

    \b
    Examples:
      planner service
      planner service default --install
      planner service work --format launchd > org.planner.work.plist
    """
    from planner.serve.at_login import kept_environment, label, launchd_plist, systemd_unit, unit_name
    from planner.serve.profile import profile_of, write_profile

    chosen = kind or ("launchd" if sys.platform == "darwin" else "systemd")
    home = Home(session.config.deployments_dir, name)
    if not home.plan.exists():
        raise NoResultError(
            f"There is no deployment named “{name}” to start at login.",
            hint="Start it once with planner up --detach, then ask again.",
            reference="no-such-deployment",
        )
    spec = home.read_plan()
    profile = session.config.config_dir / "profiles" / f"{name}.json"
    write_profile(profile, profile_of(spec))
    argv = _argv(spec, profile)
    environ = kept_environment(os.environ)
    if chosen == "systemd":
        serves = " + ".join(process.plan.model.name for process in spec.processes)
        text = systemd_unit(name, argv, environ=environ, serves=serves, folder=_folder(spec))
        path = session.config.config_dir.parent / "systemd/user" / unit_name(name)
        enable = [["systemctl", "--user", "daemon-reload"], ["systemctl", "--user", "enable", "--now", path.name]]
    else:
        log = session.config.state_dir / f"{name}-at-login.log"
        text = launchd_plist(name, argv, environ=environ, log=log, folder=_folder(spec))
        path = Path.home() / "Library/LaunchAgents" / f"{label(name)}.plist"
        enable = [["launchctl", "bootstrap", f"gui/{_user_id()}", str(path)]]
    if install:
        _write(path, text)
    if session.as_json:
        body = {"name": name, "format": chosen, "path": str(path), "installed": install, "text": text}
        write_json({"service": {**body, "profile": str(profile), "enable": enable}})
        return
    if not install:
        write_lines(text.splitlines())
        session.note(f"Its place is {path}: planner service {name} --install puts it there.")
        return
    session.note(f"Wrote {path}. Stop what runs now (planner stop {name}), then:")
    write_lines(shlex.join(command) for command in enable)
    if chosen == "systemd":
        session.note("To have it run before anybody logs in: loginctl enable-linger")


def _argv(spec: DeploymentSpec, profile: Path) -> list[str]:
    """The command that starts the deployment again; the engine's program is named where it was the user's own."""
    # -P: a folder the service happens to start in must not provide modules.
    argv = [sys.executable, "-P", "-m", "planner", "up", "--offline", "--profile", str(profile), "--name", spec.name]
    if spec.engine.reason == "its path was given":
        argv += ["--engine", spec.engine.kind.value, "--engine-path", spec.engine.binary]
    door = spec.door
    argv += [] if door.gateway else ["--no-gateway"]
    argv += [] if door.host is None else ["--host", door.host]
    argv += [word for each in door.names for word in ("--allow-host", each)]
    if door.certificate and door.private_key:
        argv += ["--tls-cert", door.certificate, "--tls-key", door.private_key]
    return argv


def _folder(spec: DeploymentSpec) -> Path | None:
    """The folder that names of the user's own model files are to be read from; None when there are none."""
    for process in spec.processes:
        for artifact in process.plan.variant.artifacts:
            name = str(artifact.file)
            if artifact.source == "file" and process.model_path.endswith(f"{os.sep}{name}"):
                return Path(process.model_path.removesuffix(name))
    return None


def _user_id() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def _write(path: Path, text: str) -> None:
    from planner.files import replace_file

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text.encode(), mode=0o644)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}.",
            hint="Leave out --install, and put what is printed there yourself.",
            reference="service-not-writable",
        ) from error
