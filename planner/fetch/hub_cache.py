"""Where the Hub's own tools keep what they downloaded. Their folder is read, never written.

Large files lie there as `models--OWNER--NAME/blobs/SHA256`. The settings are those of huggingface_hub, read when
needed: HF_HUB_CACHE, else HF_HOME/hub, else the platform's cache folder.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from planner.core.values import Digest, RepoId

_MOST_REPOS = 10_000


def hub_cache_dir(environ: Mapping[str, str] | None = None) -> Path:
    """The folder of the Hub's cache, whether it exists or not."""
    env = os.environ if environ is None else environ
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if env.get(name):
            return Path(env[name]).expanduser()
    if env.get("HF_HOME"):
        return Path(env["HF_HOME"]).expanduser() / "hub"
    home = env.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "huggingface" / "hub"


def blobs(sha256: Digest, repo: RepoId | None = None, *, cache: Path | None = None) -> Iterator[Path]:
    """Files of the cache that are named after this sha256: those of `repo` first, then of any other repository.

    The name is the cache's claim; whoever takes one over hashes it.
    """
    root = cache or hub_cache_dir()
    own = f"models--{repo.replace('/', '--')}" if repo is not None else ""
    try:
        names = sorted(entry.name for entry in os.scandir(root) if entry.name.startswith("models--"))[:_MOST_REPOS]
    except OSError:
        return
    for name in sorted(names, key=lambda name: name != own):
        path = root / name / "blobs" / sha256
        if path.is_file():
            yield path
