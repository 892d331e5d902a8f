"""What verification adds to the record of a deployment."""

from pathlib import Path

from planner.core.models.model import Role
from planner.serve.proof.verify import Check, VerifyReport
from planner.serve.state import Home
from planner.serve.supervision.records import first_record, verified_record
from tests.serve.plans import spec

CHECKS = (Check("gateway", ok=True, detail="answers"),)


def test_measured_speeds_stand_where_the_contract_wants_them(tmp_path: Path) -> None:
    home = Home(tmp_path, "test")
    first = first_record(spec(tmp_path), home, supervisor_pid=1, create_time=None, started_at="")
    report = VerifyReport(checks=CHECKS, tg_tokens_per_s=19.0, pp_tokens_per_s=2.5, embed_tokens_per_s=210.0)
    measured = verified_record(first, report)
    speeds = {p.role: (p.tg_estimated, p.tg_measured, p.pp_estimated, p.pp_measured) for p in measured.processes}
    assert speeds == {Role.GENERATION: (20.0, 19.0, 2.0, 2.5), Role.EMBEDDING: (None, None, 200.0, 210.0)}
    assert measured.verified
