"""What an answer of a file server means: to be read, to be waited out, or to be said no to."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from planner.errors import AccessError, IntegrityError, PlannerError, RemoteError
from planner.fetch.remote import Remote
from planner.fetch.stream import Head
from planner.net.http import RETRY_AFTER_CAP_S, RETRY_STATUSES, come_back_later, retry_after_s

BEGINNING_BYTES = 512
"""How much of a file is looked at to tell whether it is one."""
FATAL = frozenset({"offline", "tls", "insecure-url", "redirect-refused"})
"""References of errors that another try cannot mend."""

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_MAGIC = {".gguf": (b"GGUF",), ".llamafile": (b"MZqFpD", b"jartsr")}


class Trouble(NamedTuple):
    """Something that may pass. `wait_s`: the pause the server asks for, None when it says nothing."""

    error: RemoteError
    wait_s: float | None = None


class Span(NamedTuple):
    """`Content-Range`: first and last byte sent, and the size of the whole (None = not said)."""

    first: int
    last: int
    total: int | None


def passing_trouble(head: Head) -> Trouble | None:
    """The trouble a status stands for; None when it is something else. Raises RemoteError for a long pause."""
    if head.status not in RETRY_STATUSES and not 500 <= head.status < 600:
        return None
    wait_s = retry_after_s(head.headers)
    if wait_s is not None and wait_s > RETRY_AFTER_CAP_S:
        raise come_back_later(head.host, wait_s)
    return Trouble(RemoteError(f"{head.host} answered {head.status}", reference=f"http-{head.status}"), wait_s)


def require_file(head: Head, remote: Remote, name: str) -> None:
    """Raise unless the answer is a file or a part of one: refusals, web pages, recompressed bodies."""
    if head.status not in (200, 206):
        raise _refused(head, remote, name)
    encoding = head.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise RemoteError(
            f"{head.host} sent {name} as “{encoding[:20]}” though asked not to.",
            hint="A proxy that recompresses downloads is in the way; try another network.",
            reference="recompressed",
        )
    if head.headers.get("Content-Type", "").lower().startswith(("text/html", "application/xhtml")):
        raise _web_page(head.host, name)


def content_range(headers: Mapping[str, str]) -> Span | None:
    """The part of the file that a 206 says it brings; None when it does not say so in a form that can be right."""
    found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if found is None or int(found[2]) < int(found[1]):
        return None
    return Span(int(found[1]), int(found[2]), None if found[3] == "*" else int(found[3]))


def content_length(headers: Mapping[str, str]) -> int | None:
    """`Content-Length`; None when it is missing or no number."""
    text = headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def check_beginning(name: str, beginning: bytes, *, hash_known: bool, final: bool) -> None:
    """Raise when the first bytes are a web page's or, without a hash to tell later, not those of such a file.

    A login page in the place of a file is told by its beginning, not after five gigabytes.
    """
    if beginning.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
        raise _web_page("The server", name)
    if hash_known or (len(beginning) < 8 and not final):
        return
    magic = next((m for suffix, m in _MAGIC.items() if name.lower().endswith(suffix)), None)
    if magic is not None and not beginning.startswith(magic):
        raise IntegrityError(
            f"What the server sent as {name} is not such a file (it begins with {beginning[:8]!r}).",
            hint="The repository may hold only a pointer to the file, or a proxy answered instead.",
            reference="not-a-model",
        )


def _refused(head: Head, remote: Remote, name: str) -> PlannerError:
    better = remote.refusal(head)
    if better is not None:
        return better
    if head.status in (401, 403, 404, 410):
        return AccessError(
            f"{head.host} does not give out {name} (status {head.status}).",
            hint="The file may have been moved or removed, or needs a login.",
            reference="not-found" if head.status in (404, 410) else "login-required",
        )
    return RemoteError(f"{head.host} answered {head.status} to a plain download.", reference=f"http-{head.status}")


def _web_page(host: str, name: str) -> RemoteError:
    return RemoteError(
        f"{host} sent a web page instead of {name}.",
        hint="A login page of the network (hotel, company) may be in the way: open any site in a browser, "
        "sign in, and try again.",
        reference="web-page",
    )
