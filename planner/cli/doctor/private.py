"""What must not leave the machine in a bug report: names, folders, keys, addresses. Pure."""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from planner.core.machines.hardware import Backend, BandwidthBasis, DeviceKind, Vendor
from planner.serve.engine.redact import redact

T = TypeVar("T")

_SECRET_NAME = re.compile(r"TOKEN|KEY|SECRET|PASS(WORD|WD)?|CREDENTIAL|AUTH(?!OR)|COOKIE", re.IGNORECASE)
_SHORTEST_SECRET = 6
_NOT_PERSONAL = frozenset(
    {
        "root", "user", "default", "localhost", "localhost.localdomain", "planner", "python", "linux", "macos",
        "windows", "gpu", "host", "auto", *Vendor, *Backend, *DeviceKind, *BandwidthBasis,
    }
)  # fmt: skip
"""Words of the report itself: a user or a machine may be called so, and the report must stay readable."""

_URL_LOGIN = re.compile(r"(?<=://)[^\s/@]+@")
_TOKEN = re.compile(
    r"\b(?:hf_|sk-|pk-|gh[oprsu]_|github_pat_|glpat-|xox[abprs]-|AKIA|ASIA|eyJ)[A-Za-z0-9_.\-]{8,}|"
    r"\b(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\b",
    re.IGNORECASE,
)
_ASSIGNED = re.compile(
    r"(?i)\b([\w-]*(?:token|secret|password|passwd|api[_-]?key|credential)[\w-]*\s*[=:]\s*)(?!\*{4})[^\s,;\"']+"
)
_LONG = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{32,}(?![A-Za-z0-9_-])")
_MOST_SEPARATORS = 4
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_MAC = re.compile(r"(?<![0-9A-Fa-f:])(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![0-9A-Fa-f:])")
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]*\w)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])")
_OTHER_HOME = re.compile(r"(?i)((?:/home|/Users|[A-Z]:[\\/]+Users)[\\/]+)(?!\[user\])[^\\/\s\"':;,]+")


@dataclass(frozen=True)
class Private:
    """What is private here: home folders, names of user and machine, and the very values of secrets."""

    homes: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()


def private_values(
    environ: Mapping[str, str], *, home: str, user: str = "", host_names: Iterable[str] = ()
) -> Private:
    """What is private, from the environment and what the system says. Longest first, so that no rest is left."""
    homes = {home, environ.get("HOME", ""), environ.get("USERPROFILE", "")}
    users = {user, *(environ.get(name, "") for name in ("USER", "LOGNAME", "USERNAME", "SUDO_USER"))}
    hosts: set[str] = set()
    for name in (*host_names, environ.get("HOSTNAME", ""), environ.get("COMPUTERNAME", "")):
        hosts |= {name, name.partition(".")[0]}
    secrets = {value for name, value in environ.items() if is_secret_name(name) and len(value) >= _SHORTEST_SECRET}
    for name, value in environ.items():
        if name.lower().endswith("_proxy"):
            login, password = _login(value)
            users.add(login)
            secrets |= {password} if len(password) >= _SHORTEST_SECRET else set()

    def longest_first(values: set[str]) -> tuple[str, ...]:
        kept = (v.strip() for v in values)
        return tuple(sorted({v for v in kept if len(v) > 1 and v.lower() not in _NOT_PERSONAL}, key=len)[::-1])

    return Private(
        homes=longest_first({h.rstrip("/\\") for h in homes}),
        users=longest_first(users),
        hosts=longest_first(hosts),
        secrets=longest_first(secrets),
    )


def is_secret_name(name: str) -> bool:
    """Whether a variable of that name holds a secret."""
    return _SECRET_NAME.search(name) is not None


def scrub(text: str, private: Private) -> str:
    """The text without anything private: each kind is replaced by a word in brackets, a home folder by `~`."""
    text = _URL_LOGIN.sub("", redact(text))
    for secret in private.secrets:
        text = text.replace(secret, "****")
    text = _ASSIGNED.sub(r"\1****", text)
    text = _EMAIL.sub("[e-mail]", text)
    text = _TOKEN.sub("[key]", text)
    text = _LONG.sub(_long_word, text)
    for home in private.homes:
        text = re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text, flags=re.IGNORECASE)
    text = _OTHER_HOME.sub(r"\1[user]", text)
    for word, names in (("[user]", private.users), ("[host]", private.hosts)):
        for name in names:
            text = re.sub(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])", word, text, flags=re.IGNORECASE)
    text = _MAC.sub("[address]", text)
    return _IPV6.sub(_address, _IPV4.sub(_address, text))


def scrub_all(value: object, private: Private) -> object:
    """A JSON value with every text in it scrubbed; the keys are ours and stay."""
    if isinstance(value, str):
        return scrub(value, private)
    if isinstance(value, Mapping):
        return {key: scrub_all(item, private) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [scrub_all(item, private) for item in value]
    return value


def proxy_host(value: str) -> str:
    """Host and port of a proxy, without what stands before the `@` or after the host."""
    try:
        parts = urlsplit(value if "//" in value else f"//{value}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return "set, and no URL"
    return f"{host or 'set'}{f':{port}' if port else ''}"


def _login(value: str) -> tuple[str, str]:
    """User and password of a URL."""
    login = value.rpartition("@")[0].rpartition("//")[2]
    user, _, password = login.partition(":")
    return user, password


def _long_word(match: re.Match[str]) -> str:
    """`[key]` for a long word that looks made up, such as 32 hexadecimal digits; names have many dashes."""
    word = match[0]
    kinds = [any(test(c) for c in word) for test in (str.isdigit, str.islower, str.isupper)]
    separators = word.count("-") + word.count("_")
    made_up = re.fullmatch(r"[0-9a-fA-F]+", word) is not None or (all(kinds) and separators <= _MOST_SEPARATORS)
    return "[key]" if made_up else word


def _address(match: re.Match[str]) -> str:
    """`[address]` for an address that says something about a network; loopback and 0.0.0.0 do not."""
    try:
        address = ipaddress.ip_address(match[0])
    except ValueError:
        return match[0]
    return match[0] if address.is_loopback or address.is_unspecified else "[address]"
