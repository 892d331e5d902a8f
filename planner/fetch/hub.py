"""The Hub: what a repository holds at a revision, and whether we may have it.

Metadata and tokens go through huggingface_hub; the bytes are fetched by `planner.fetch.download`.
"""

import contextlib
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from planner import __version__
from planner.config import Config
from planner.core.values import Digest, RepoId, RepoPath
from planner.errors import AccessError, PlannerError, RemoteError, UsageError
from planner.fetch.progress import Phase, Progress
from planner.fetch.store import Expected
from planner.fetch.stream import SLICE_S, Head, call_with_deadline
from planner.net.http import (
    RETRY_AFTER_CAP_S,
    RETRY_STATUSES,
    TRIES,
    backoff_s,
    come_back_later,
    is_loopback,
    require_online,
    retry_after_s,
)

if TYPE_CHECKING:
    import types

_DEADLINE_S = 45.0
_REQUEST_S = 15.0
_SETTINGS = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    # Without Xet every byte is plain HTTP, which is what resume, proxies and our checks rest on.
    "HF_HUB_DISABLE_XET": "1",
}


@dataclass(frozen=True)
class Snapshot:
    """Files of a repository at one commit, and how to get them. `tags` are what its page says (`license:mit`)."""

    endpoint: str
    repo: RepoId
    commit: str
    files: Mapping[RepoPath, Expected]
    token: str | None = field(default=None, repr=False)
    tags: tuple[str, ...] = ()

    def url(self, file: RepoPath) -> str:
        """Where the bytes of `file` are, at this very commit."""
        return f"{self.endpoint}/{self.repo}/resolve/{quote(self.commit, safe='')}/{quote(file)}"

    def refusal(self, head: Head) -> PlannerError | None:
        """The Hub's reasons for not giving a file; None when the answer is not the Hub's own."""
        if head.host != (urlsplit(self.endpoint).hostname or ""):
            return None
        return access_error(self.endpoint, self.repo, head.status, head.headers, logged_in=self.token is not None)


def check_endpoint(endpoint: str) -> str:
    """The Hub's address without a final slash. Raises UsageError unless https, or http on this machine."""
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    if parts.username or parts.password or not host or parts.scheme not in {"http", "https"}:
        raise UsageError(
            "HF_ENDPOINT is not an address of the form https://host.",
            hint="The default is https://huggingface.co; credentials belong into HF_TOKEN.",
            reference="bad-endpoint",
        )
    if parts.scheme == "http" and not is_loopback(host):
        raise UsageError(
            f"HF_ENDPOINT is http://{host}: plain http is only used on this machine, as tokens and models would "
            "travel unprotected.",
            hint=f"Use https://{host}, or unset HF_ENDPOINT.",
            reference="insecure-endpoint",
        )
    return endpoint.rstrip("/")


def describe(
    repo: RepoId, revision: str | None, files: Sequence[RepoPath], *, config: Config, progress: Progress
) -> Snapshot:
    """Commit, sizes and hashes of `files` in `repo` at `revision` (a branch, tag or commit; None = the default).

    Raises OfflineError before anything else, UsageError for an endpoint in the clear, AccessError (log in /
    accept the licence / does not exist) and RemoteError.
    """
    return _ask(repo, revision, files, config=config, progress=progress)


def list_files(repo: RepoId, revision: str | None = None, *, config: Config, progress: Progress) -> Snapshot:
    """Everything that `repo` holds at `revision`, in one request; names that are not safe are left out.

    Sizes and hashes are what the listing says: None where a mirror lists names only. Raises like `describe`.
    """
    return _ask(repo, revision, None, config=config, progress=progress)


def _ask(
    repo: RepoId, revision: str | None, files: Sequence[RepoPath] | None, *, config: Config, progress: Progress
) -> Snapshot:
    """`describe` for some files, `list_files` for None: with a deadline, tries and pauses."""
    require_online(config, f"Looking up {repo} on the Hub")
    endpoint = check_endpoint(config.hf_endpoint)

    def tick() -> None:
        progress.update(Phase.DOWNLOADING, 0, None)

    failures = 0
    while True:
        try:
            return call_with_deadline(
                lambda: _describe(endpoint, repo, revision, files), deadline_s=_DEADLINE_S, what=endpoint, tick=tick
            )
        except _RetryError as retry:
            failures += 1
            if retry.after_s is not None and retry.after_s > RETRY_AFTER_CAP_S:
                raise come_back_later(urlsplit(endpoint).hostname or endpoint, retry.after_s) from retry
            if failures >= TRIES:
                raise retry.error from retry
            end = time.monotonic() + (backoff_s(failures) if retry.after_s is None else retry.after_s)
            while (left_s := end - time.monotonic()) > 0:
                tick()
                time.sleep(min(SLICE_S, left_s))


class _RetryError(Exception):
    """A failure that may pass; `error` is what is raised when it does not."""

    def __init__(self, error: PlannerError, after_s: float | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.after_s = after_s


def _library(endpoint: str) -> "types.ModuleType":
    """huggingface_hub, imported with our settings: it reads them once, when it is imported."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("HF_ENDPOINT", endpoint)
    import huggingface_hub.constants  # noqa: PLC0415  # 135 ms, and it must see the settings above
    import huggingface_hub.errors  # noqa: PLC0415  # the package loads its modules only when they are named

    return huggingface_hub


def stored_token(endpoint: str) -> str | None:
    """The token of HF_TOKEN or of `hf auth login`; None without one, and where it is not to be sent unasked."""
    return _token(_library(endpoint))


def _token(library: "types.ModuleType") -> str | None:
    token: str | None = None if library.constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else library.get_token()
    return token


def _describe(endpoint: str, repo: RepoId, revision: str | None, files: Sequence[RepoPath] | None) -> Snapshot:
    library = _library(endpoint)
    token = _token(library)
    api = library.HfApi(endpoint=endpoint, token=token or False, library_name="planner", library_version=__version__)
    try:
        return _from_listing(api, endpoint, repo, revision, files=files, token=token)
    except (_RetryError, PlannerError):
        raise
    except Exception as error:
        raise _translated(library, error, endpoint, repo, logged_in=token is not None) from error


def _from_listing(
    api: Any,
    endpoint: str,
    repo: RepoId,
    revision: str | None,
    *,
    files: Sequence[RepoPath] | None,
    token: str | None,
) -> Snapshot:
    info = api.model_info(repo, revision=revision, files_metadata=True, timeout=_REQUEST_S)
    commit = info.sha
    if not isinstance(commit, str) or not commit.isalnum():
        raise ValueError("the answer names no commit")
    listed = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    found: dict[RepoPath, Expected] = {}
    tags = tuple(tag for tag in info.tags or () if isinstance(tag, str))
    snapshot = Snapshot(endpoint=endpoint, repo=repo, commit=commit, files=found, token=token, tags=tags)
    if files is None:
        found |= {name: _expected(listed[name]) for name in _safe(listed)}
        return snapshot
    for file in files:
        if file not in listed:
            raise _no_file(endpoint, repo, commit, file, listed)
        found[file] = _expected(listed[file])
        if found[file].bytes is None:
            # A mirror that lists names only: ask for the file itself.
            found[file] = _from_head(api, snapshot, file)
    return snapshot


def _safe(names: Iterable[object]) -> list[RepoPath]:
    safe = []
    for name in names:
        with contextlib.suppress(ValueError):
            safe.append(RepoPath(str(name)))
    return safe


def _expected(sibling: Any) -> Expected:
    if sibling.lfs is not None:
        return Expected(bytes=int(sibling.lfs.size), sha256=Digest(sibling.lfs.sha256))
    git_sha1 = sibling.blob_id if isinstance(sibling.blob_id, str) and len(sibling.blob_id) == 40 else None
    return Expected(bytes=None if sibling.size is None else int(sibling.size), git_sha1=git_sha1)


def _from_head(api: Any, snapshot: Snapshot, file: RepoPath) -> Expected:
    url, token = snapshot.url(file), snapshot.token
    head = api.get_hf_file_metadata(url=url, token=token or False, timeout=_REQUEST_S)
    etag = head.etag or ""
    sha256 = Digest(etag) if len(etag) == 64 else None
    return Expected(bytes=head.size, sha256=sha256, git_sha1=etag if len(etag) == 40 else None)


def _translated(
    library: "types.ModuleType", error: Exception, endpoint: str, repo: RepoId, *, logged_in: bool
) -> Exception:
    """Our error for one of huggingface_hub or of the HTTP client below it."""
    host = urlsplit(endpoint).hostname or endpoint
    response = getattr(error, "response", None)
    if isinstance(error, library.errors.HfHubHTTPError) and response is not None:
        status, headers = int(response.status_code), response.headers
        refused = access_error(endpoint, repo, status, headers, logged_in=logged_in)
        if refused is not None:
            return refused
        plain = RemoteError(
            f"{host} answered {status} when asked about {repo}.", hint=_hint(status), reference=f"http-{status}"
        )
        return _RetryError(plain, retry_after_s(headers)) if status in RETRY_STATUSES or status >= 500 else plain
    if isinstance(error, library.errors.HFValidationError):
        return AccessError(f"{repo} is not a repository id the Hub accepts.", reference="not-found")
    if _is_silence(error):
        return _RetryError(
            RemoteError(
                f"{host} did not answer within {_REQUEST_S:g} s.",
                hint="Try again later; files that are on this machine already work with --offline.",
                reference="timeout",
            )
        )
    if _is_transport(error):
        return _RetryError(
            RemoteError(
                f"{host} could not be reached ({type(error).__name__}).",
                hint="Check the network and the proxy settings, or work with what is on this machine: --offline.",
            )
        )
    return RemoteError(
        f"{host} gave an answer about {repo} that makes no sense ({type(error).__name__}).",
        hint="A login page or a proxy may have answered in its place. Is HF_ENDPOINT right?",
        reference="bad-answer",
    )


def _hint(status: int) -> str:
    if status >= 500:
        return "The server has trouble: try again later. Files that are on this machine already work with --offline."
    if status in RETRY_STATUSES:
        return "The server asks for patience: try again later, or log in (HF_TOKEN) for a higher limit."
    return "A proxy may have answered in its place. Is HF_ENDPOINT right?"


def _is_silence(error: Exception) -> bool:
    """Whether the server was reached and then said nothing; a connection that cannot be made is another matter."""
    import httpx2  # noqa: PLC0415  # huggingface_hub has imported it already

    return isinstance(error, httpx2.ReadTimeout)


def _is_transport(error: Exception) -> bool:
    import httpx2  # noqa: PLC0415  # huggingface_hub has imported it already

    return isinstance(error, httpx2.TransportError | OSError)


def access_error(
    endpoint: str, repo: RepoId, status: int, headers: Mapping[str, str], *, logged_in: bool
) -> AccessError | None:
    """Why the Hub says no, in three different messages: log in, accept the licence, does not exist."""
    code = headers.get("X-Error-Code") or ""
    page = f"{endpoint}/{repo}"
    if code == "GatedRepo" or (status == 403 and "disabled" not in (headers.get("X-Error-Message") or "").lower()):
        first = "" if logged_in else f"Log in (HF_TOKEN, or: hf auth login), then open {page}"
        return AccessError(
            f"{repo} is gated: its licence must be accepted before it can be downloaded.",
            hint=f"{first or f'Open {page} with the account of your token'}, accept the terms, and try again.",
            reference="licence-not-accepted",
        )
    if status == 401:
        message = "the Hub does not accept the token" if logged_in else "the Hub asks for a login (or it is private)"
        return AccessError(
            f"{repo}: {message}.",
            hint=f"Make a token at {endpoint}/settings/tokens and set HF_TOKEN, or run: hf auth login. "
            "Check the spelling too: what does not exist looks the same from outside.",
            reference="login-required",
        )
    if status in (404, 410) or status == 403:
        what = {
            "RevisionNotFound": "The pinned revision is gone from",
            "EntryNotFound": "The file is not in",
        }.get(code, "There is no public repository" if status != 403 else "The Hub has disabled")
        return AccessError(
            f"{what} {repo} at {endpoint}.",
            hint="Check the spelling. Publishers rename and remove what they have: `planner catalog update` sees "
            "what there is now.",
            reference="not-found",
        )
    return None


def _no_file(endpoint: str, repo: RepoId, commit: str, file: RepoPath, listed: Mapping[str, object]) -> AccessError:
    same = next((name for name in listed if name.lower() == file.lower()), None)
    others = [name for name in sorted(listed) if name.lower().endswith(".gguf")][:5]
    if same is not None:
        hint = f"It is called {same} now."
    else:
        hint = f"It holds: {', '.join(others)}." if others else "It holds no GGUF file at all."
    return AccessError(
        f"{repo} at {endpoint} has no file {file} (commit {commit[:12]}).",
        hint=f"{hint} Publishers rename files: `planner catalog update` sees what there is now.",
        reference="not-found",
    )
