"""From the options of a command to what is planned."""

from pathlib import Path

from planner.cli.planning import pins_for
from planner.cli.session import Session
from planner.config import Config
from planner.core.models.model import Role


def test_the_starter_pair_is_pinned_to_the_files_of_the_package_index(tmp_path: Path) -> None:
    session = Session(Config(tmp_path, tmp_path, tmp_path, tmp_path))
    pins = pins_for(session, (), starter=True)
    assert {pin.model.role for pin in pins} == {Role.EMBEDDING, Role.GENERATION}
    for pin in pins:
        assert pin.variant is not None
        assert any(artifact.source == "package" for artifact in pin.variant.artifacts)
