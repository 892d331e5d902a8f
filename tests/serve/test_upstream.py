"""Who answers for a role, and who is told when it answers nonsense."""

from planner.core.models.model import Role
from planner.serve.gateway.upstream import Upstreams


def test_a_request_for_a_restart_is_told_of_at_once_and_taken_once() -> None:
    """The supervisor looks only every few seconds while all is calm."""
    seen: list[tuple[tuple[Role, str], ...]] = []
    upstreams = Upstreams(on_restart=lambda: seen.append(upstreams.take_restarts()))
    upstreams.request_restart(Role.EMBEDDING, "a vector is zero")
    assert seen == [((Role.EMBEDDING, "a vector is zero"),)]
    assert upstreams.take_restarts() == ()
