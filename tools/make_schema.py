"""Write catalog/schema/ from the types. Run it after a change to them: python tools/make_schema.py."""

from planner.catalog.location import data_dir
from planner.catalog.schema import schemas

if __name__ == "__main__":
    folder = data_dir() / "schema"
    folder.mkdir(exist_ok=True)
    for name, content in schemas().items():
        (folder / name).write_bytes(content)
        print(folder / name)
