"""Every error the product raises on purpose.

PlannerError
 ├─ UsageError            the command or its values cannot be right            exit 2
 ├─ NoResultError         nothing fits, nothing matches                        exit 3
 ├─ BadDataError          a file is not what it should be                      exit 4
 │   ├─ CatalogError      a catalog file
 │   └─ GgufError         a GGUF or llamafile header
 ├─ RemoteError           network, remote servers, downloads                   exit 5
 │   ├─ OfflineError      the network is needed and `--offline` is on
 │   ├─ IntegrityError    size or sha256 differs from what was promised
 │   ├─ AccessError       log in, accept a licence, or it does not exist
 │   └─ NoSpaceError      the disk is full, or would be
 └─ EngineError           an engine that is missing, unfit, or died            exit 6

Each says what happened (`message`), carries a stable kebab-case `reference` for scripts and
a `hint`: what to do next. The command line maps classes to exit codes in `planner.cli.diagnostics`.
"""


class PlannerError(Exception):
    """Base of all errors meant for people.

    `message`: what happened and what it means. `hint`: what to do. `reference`: stable name for scripts.
    """

    reference = "planner-error"

    def __init__(self, message: str, *, hint: str = "", reference: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if reference is not None:
            self.reference = reference


class UsageError(PlannerError):
    """The command line or a setting cannot be right."""

    reference = "usage"


class NoResultError(PlannerError):
    """The question is fine and the answer is empty: nothing fits, nothing matches."""

    reference = "nothing-fits"


class BadDataError(PlannerError):
    """Input data is not what it should be."""

    reference = "bad-data"


class CatalogError(BadDataError):
    """A catalog file is missing, broken or contradicts itself."""

    reference = "catalog-invalid"


class GgufError(BadDataError):
    """A GGUF header is malformed; the message names file, byte and field."""

    reference = "gguf-invalid"


class RemoteError(PlannerError):
    """A remote server or the network failed."""

    reference = "network"


class OfflineError(RemoteError):
    """The network would be needed, and offline mode is on."""

    reference = "offline"


class IntegrityError(RemoteError):
    """What arrived is not what was promised: size or sha256 differs. Nothing was kept."""

    reference = "integrity"


class AccessError(RemoteError):
    """The remote refuses: log in, accept a licence, or it does not exist."""

    reference = "access"


class NoSpaceError(RemoteError):
    """The disk has no room for the download."""

    reference = "no-space"


class EngineError(PlannerError):
    """An engine is missing, unfit for this machine, or died; carries its own last words."""

    reference = "engine"
