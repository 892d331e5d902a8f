"""Settings and where files live: flags over environment over the TOML file over defaults.

Paths follow the XDG folders (or the platform's equivalents) and are computed when asked for, never at import.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import platformdirs

from planner.errors import UsageError

_TRUE = {"1", "on", "yes", "true"}
AUTO_ENGINE = "auto"


@dataclass(frozen=True)
class Config:
    """Everything that is set outside a single command."""

    data_dir: Path
    """Models and engines: large, kept."""
    cache_dir: Path
    """May be deleted at any time."""
    state_dir: Path
    """Deployments: state, logs and keys (0700)."""
    config_dir: Path
    offline: bool = False
    hf_endpoint: str = "https://huggingface.co"
    engine: str = AUTO_ENGINE
    engine_path: Path | None = None
    engine_variant: str | None = None
    """Which of the pinned files of the engine; None = the usual one."""
    engine_chosen: bool = False
    """Whether the engine is the one of `planner engine use`."""
    catalogs: tuple[Path, ...] = field(default=())

    @property
    def own_catalog_dir(self) -> Path:
        """The user's own model files, loaded on top of the shipped ones."""
        return self.config_dir / "catalog"

    @property
    def models_dir(self) -> Path:
        """The store of fetched models."""
        return self.data_dir / "models"

    @property
    def engines_dir(self) -> Path:
        """Fetched engine binaries."""
        return self.data_dir / "engines"

    @property
    def engine_choice(self) -> Path:
        """Where `planner engine use` keeps its answer; every setting comes before it."""
        return self.state_dir / "engine.json"

    @property
    def deployments_dir(self) -> Path:
        """One folder per deployment."""
        return self.state_dir / "deployments"


def default_config() -> Config:
    """The settings of somebody who set nothing."""
    return Config(
        data_dir=Path(platformdirs.user_data_dir("planner", appauthor=False)),
        cache_dir=Path(platformdirs.user_cache_dir("planner", appauthor=False)),
        state_dir=Path(platformdirs.user_state_dir("planner", appauthor=False)),
        config_dir=Path(platformdirs.user_config_dir("planner", appauthor=False)),
    )


def load_config(environ: Mapping[str, str] | None = None) -> Config:
    """Settings from the environment and `config.toml`. Raises UsageError naming the file and the key."""
    env = os.environ if environ is None else environ
    config = default_config()
    config = _from_toml(config, config.config_dir / "config.toml")
    config = replace(
        config,
        offline=config.offline
        or any(env.get(name, "").lower() in _TRUE for name in ("PLANNER_OFFLINE", "HF_HUB_OFFLINE")),
        hf_endpoint=env.get("HF_ENDPOINT", config.hf_endpoint).rstrip("/"),
        engine=env.get("PLANNER_ENGINE", config.engine),
        engine_path=Path(env["PLANNER_ENGINE_PATH"]) if env.get("PLANNER_ENGINE_PATH") else config.engine_path,
    )
    unset = config.engine == AUTO_ENGINE and config.engine_path is None and not env.get("PLANNER_ENGINE")
    return _with_choice(config) if unset else config


def _with_choice(config: Config) -> Config:
    """The engine of `planner engine use`; as if there were none when its file cannot be read."""
    try:
        choice = json.loads(config.engine_choice.read_bytes())
        engine, variant, path = choice["engine"], choice.get("variant"), choice.get("path")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return config
    if not isinstance(engine, str) or not all(value is None or isinstance(value, str) for value in (variant, path)):
        return config
    return replace(
        config, engine=engine, engine_variant=variant, engine_path=Path(path) if path else None, engine_chosen=True
    )


def _from_toml(config: Config, path: Path) -> Config:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return config
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", reference="config-unreadable") from error
    import tomllib  # noqa: PLC0415  # most people have no such file

    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not valid TOML: {error}", reference="config-invalid") from error
    changes: dict[str, object] = {}
    for key, value in values.items():
        match key, value:
            case "offline", bool():
                changes[key] = value
            case "engine" | "hf_endpoint", str():
                changes[key] = value
            case "engine_path" | "data_dir" | "cache_dir" | "state_dir", str():
                changes[key] = Path(value).expanduser()
            case "catalogs", list() if all(isinstance(item, str) for item in value):
                changes[key] = tuple(Path(item).expanduser() for item in value)
            case _:
                raise UsageError(
                    f"{path}: “{key}” is not a setting, or its value has the wrong type.",
                    hint="Known: offline, engine, engine_path, hf_endpoint, data_dir, cache_dir, state_dir, "
                    "catalogs.",
                    reference="config-invalid",
                )
    return replace(config, **changes)  # type: ignore[arg-type]  # types were matched above
