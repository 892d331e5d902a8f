"""What a deployment costs while nobody asks it anything: processor time of each of its processes.

    python benchmarks/idle_cost.py [--name default] [--seconds 60] [--json]

Needs a running deployment (`planner up --starter --detach`) that nobody uses meanwhile. Seconds of processor time a
minute: 0.6 is one percent of a core.
"""

import argparse
import json
import sys
import time

import psutil

from planner.config import load_config
from planner.serve.deployments import list_deployments
from planner.serve.state import DeploymentRecord


def running(name: str) -> DeploymentRecord:
    """The deployment that is measured."""
    for record in list_deployments(load_config().deployments_dir):
        if record.name == name and record.gateway_url is not None:
            return record
    raise SystemExit(f"No deployment “{name}” is running: planner up --starter --detach")


def processor_seconds(process: psutil.Process) -> float:
    """Processor time that a process has taken so far, in the kernel and outside."""
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--name", default="default", help="the deployment")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to look")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    record = running(arguments.name)
    processes = {"supervisor and gateway": psutil.Process(record.supervisor_pid)}
    processes |= {f"{p.role} engine": psutil.Process(p.pid) for p in record.processes if p.pid is not None}
    before = {name: processor_seconds(process) for name, process in processes.items()}
    started = time.monotonic()
    time.sleep(arguments.seconds)
    minutes = (time.monotonic() - started) / 60
    found = {name: (processor_seconds(process) - before[name]) / minutes for name, process in processes.items()}
    if arguments.json:
        print(json.dumps({f"{name}, processor s/min": round(value, 3) for name, value in found.items()}, indent=2))
        return 0
    for name, value in found.items():
        print(f"{name:24} {value:6.2f} s of processor time a minute ({value / 0.6:.2f} % of a core)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
