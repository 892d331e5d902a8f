"""`planner inspect`: what a GGUF or llamafile is, from its header alone."""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import click

from planner.cli.inspect_page import lines, tensor_lines
from planner.cli.inspect_view import body
from planner.cli.output import write_json, write_lines
from planner.cli.session import Session, common_options
from planner.core.values import RepoId, RepoPath
from planner.errors import UsageError
from planner.units import printable

if TYPE_CHECKING:
    from planner.gguf.files import Contents


@click.command()
@click.argument("target", metavar="FILE|hf:REPO/FILE|URL")
@click.option("--tensors", is_flag=True, help="Show every tensor: name, shape, type, bytes.")
@click.option("--member", metavar="NAME", help="The GGUF to look at, where a llamafile holds several.")
@common_options
def inspect(session: Session, *, target: str, tensors: bool, member: str | None) -> None:
    r"""Show what a GGUF or llamafile is, without loading or downloading the weights.

    Only the header is read: of a file here, of a Hub file (hf:OWNER/NAME/FILE, or OWNER/NAME@REVISION), or of
    a web address. Parts of a split model are read together when all lie in one folder.

    \b
    Examples:
      planner inspect ~/models/SmolLM2-135M-Instruct.Q4_1.gguf
      planner inspect hf:ggml-org/gemma-3-4b-it-GGUF/gemma-3-4b-it-Q4_K_M.gguf
      planner inspect model.llamafile --member model.gguf --json
      planner inspect model.gguf --tensors | less
    """
    contents = _read(session, target, member)
    if session.as_json:
        write_json(body(contents, tensors=tensors))
        return
    write_lines(lines(target, contents))
    if tensors and contents.header is not None:
        write_lines(["", *tensor_lines(contents.header)])


def _read(session: Session, target: str, member: str | None) -> "Contents":
    from planner.gguf.files import read_path, read_source

    if target.startswith("hf:"):
        url, secret_headers = _hub_address(session, target)
    elif "://" in target:
        url, secret_headers = _web_address(target), {}
    else:
        return read_path(Path(target).expanduser(), member=member)
    from planner.net.http import make_session, require_online
    from planner.net.ranges import HttpRangeSource

    require_online(session.config, f"Reading {printable(target)}")
    with (
        make_session(session.config) as http,
        HttpRangeSource(http, url, secret_headers=secret_headers) as source,
    ):
        return read_source(source, member=member)


def _hub_address(session: Session, target: str) -> tuple[str, dict[str, str]]:
    """Download address of `hf:OWNER/NAME[@REVISION]/FILE` and the headers for the Hub itself."""
    owner, _, rest = target.removeprefix("hf:").lstrip("/").partition("/")
    repo, _, file = rest.partition("/")
    repo, _, revision = repo.partition("@")
    try:
        if revision in (".", ".."):
            raise ValueError("no such revision")  # noqa: TRY301
        address = RepoId(f"{owner}/{repo}"), RepoPath(file)
    except ValueError as error:
        raise UsageError(
            f"“{printable(target)}” is not a file on the Hub: {error}.",
            hint="Write hf:OWNER/NAME/FILE.gguf, or hf:OWNER/NAME@REVISION/FILE.gguf.",
        ) from error
    from planner.fetch.hub import stored_token

    token = stored_token(session.config.hf_endpoint)
    url = (
        f"{session.config.hf_endpoint}/{address[0]}/resolve/{quote(revision or 'main', safe='')}/{quote(address[1])}"
    )
    return url, {"Authorization": f"Bearer {token}"} if token else {}


def _web_address(target: str) -> str:
    try:
        parts = urlsplit(target)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        good = False
    if not good:
        raise UsageError(
            f"“{printable(target)}” is not an address that can be read.", hint="Give an https:// address."
        )
    return target
