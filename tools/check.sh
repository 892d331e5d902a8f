#!/bin/sh
# Every check, on a fresh machine: makes a virtual environment of its own, installs the project into it and runs
# formatting, lint, types, layers and tests, and other people's clients. Arguments go to pytest, and leave the clients
# out. Needs Python 3.11 or newer and a package index.
set -eu
cd "$(dirname "$0")/.."

python=${PYTHON:-}
if [ -z "$python" ]; then
    for candidate in python3 python3.13 python3.12 python3.11 python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            python=$candidate
            break
        fi
    done
fi
if [ -z "$python" ]; then
    echo "Python 3.11 or newer is needed; set PYTHON to one." >&2
    exit 2
fi

environment=${PLANNER_CHECK_ENVIRONMENT:-.venv-check}
"$python" -m venv "$environment"
bin=$environment/bin
"$bin/python" -m pip install --quiet --disable-pip-version-check --editable '.[all,dev]'

"$bin/ruff" format --check .
"$bin/ruff" check .
"$bin/mypy"
"$bin/lint-imports"
if [ "$#" -gt 0 ]; then
    exec "$bin/python" -m pytest "$@"
fi
# As many at once as there are cores; those with real engines, which take all cores, one after the other.
"$bin/python" -m pytest -m 'not engine' --numprocesses auto --dist loadfile
"$bin/python" -m pytest -m engine

# Other people's clients against the gateway, in an environment of their own: nobody else needs its 440 MB.
if [ "${PLANNER_CHECK_CLIENTS:-1}" != 0 ]; then
    clients=$environment-clients/bin
    "$python" -m venv "$environment-clients"
    "$clients/python" -m pip install --quiet --disable-pip-version-check --editable '.[clients,dev]'
    # They leave connections to the garbage collector.
    "$clients/python" -m pytest tests/clients -W ignore::pytest.PytestUnraisableExceptionWarning
fi
