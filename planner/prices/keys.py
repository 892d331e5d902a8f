"""Keys of providers: from the environment, else from a file that only its owner can read.

They are never kept, and taken out of whatever a provider sends back.
"""

import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

FILE = "keys.toml"


def find_key(
    name: str, *, folder: Path, environ: Mapping[str, str] | None = None, note: Callable[[str], None]
) -> str | None:
    """The key of that name: the environment's, else that of `keys.toml` in `folder`; None where there is none.

    A file that others can read is not used, and `note` says so; so it does of one that cannot be read.
    """
    env = os.environ if environ is None else environ
    if key := env.get(name, "").strip():
        return _fit_for_a_header(key, name, note)
    path = folder / FILE
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
                note(f"{path} can be read by others, so no key is taken from it. Make it yours: chmod 600 {path}")
                return None
            values = tomllib.loads(file.read(2**16).decode("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        # The error's own words may quote the line with the key.
        note(f'{path} cannot be read as TOML, so no key is taken from it. A line is: {name} = "…"')
        return None
    found = values.get(name)
    return _fit_for_a_header(found.strip(), name, note) if isinstance(found, str) and found.strip() else None


def without_key(text: str, key: str) -> str:
    """The text with the key taken out, in whatever case, also as addresses and JSON write it."""
    for form in {key, quote(key, safe=""), key.replace("\\", r"\\").replace('"', r"\"")}:
        text = re.sub(re.escape(form), "[key]", text, flags=re.IGNORECASE)
    return text


def _fit_for_a_header(key: str, name: str, note: Callable[[str], None]) -> str | None:
    if key.isascii() and key.isprintable() and len(key) <= 512 and " " not in key:
        return key
    note(f"{name} holds something that is no key (white space or letters no key has); it is not sent.")
    return None
