"""Where the data files are: beside the package in an installed wheel, at the top of the repository otherwise."""

from pathlib import Path

from planner.errors import CatalogError

_PACKAGE = Path(__file__).resolve().parent.parent


def data_dir(package: Path = _PACKAGE) -> Path:
    """The folder that holds `models/`, `devices.json` and the other data files.

    `package` is the folder of the `planner` package. A wheel carries the data inside it as `_catalog`; an
    editable install reads the repository's own `catalog/`. Raises CatalogError (`catalog-missing`).
    """
    for candidate in (package / "_catalog", package.parent / "catalog"):
        if (candidate / "models").is_dir():
            return candidate
    raise CatalogError(
        f"The model catalog is missing: there is neither {package / '_catalog'} nor {package.parent / 'catalog'}.",
        hint="Reinstall planner, or give models of your own with --catalog PATH.",
        reference="catalog-missing",
    )
