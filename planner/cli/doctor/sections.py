"""The sections of the report, in order, and what is private on this machine."""

import contextlib
import getpass
import platform
from collections.abc import Mapping
from pathlib import Path

from planner.cli.doctor import machine, setup, stock
from planner.cli.doctor.private import Private, private_values
from planner.cli.doctor.report import Section

SECTIONS: Mapping[str, Section] = {
    "planner": setup.planner,
    "system": machine.system,
    "terminal": machine.terminal,
    "hardware": machine.hardware,
    "limits": machine.limits,
    "disk": machine.disk,
    "settings": setup.settings,
    "environment": setup.environment,
    "proxies": setup.proxies,
    "engines": stock.engines,
    "catalog": stock.catalog,
    "store": stock.store,
    "deployments": stock.deployments,
    "packages": setup.packages,
}


def private_here(environ: Mapping[str, str]) -> Private:
    """What is private on this machine; whatever cannot be asked is left to the patterns."""
    home = user = ""
    with contextlib.suppress(RuntimeError):
        home = str(Path.home())
    with contextlib.suppress(Exception):  # it raises differently on every platform and Python
        user = getpass.getuser()
    return private_values(environ, home=home, user=user, host_names=(platform.node(),))
