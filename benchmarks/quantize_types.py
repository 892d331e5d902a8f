"""The type of every tensor as llama.cpp's quantize chooses it, beside the type `planner.core.models.recipe` gives it.

Run: python -m benchmarks.quantize_types path/to/llama-quantize        (needs the package gguf)

For every shape in the catalog an F16 GGUF is written that has a header and a hole instead of weights (`hollow.py`);
quantize's `--dry-run` needs no more to say what it would do with each tensor, for every quant type with and without
an importance matrix. Experts of gpt-oss are left out: they are in MXFP4 from the start and are never quantised again.
"""

import re
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.hollow import write_hollow_gguf
from planner.catalog.loader import load
from planner.core.models.file_size import tensor_table
from planner.core.models.recipe import quant_types

_CONVERTED = {"F32", "F16", "BF16"}
_NEEDS_IMATRIX = re.compile(r"IQ[12]|IQ3_XXS|Q2_K_S")
_LINE = re.compile(r"^\[ *\d+/ *\d+\] +(\S+) +- \[[^]]*\], type = +(\w+), size = .*?(?:\((\w+)\))?$", re.MULTILINE)


def write_imatrix(path: Path) -> None:
    """An importance matrix of one tensor that no model has: enough for quantize to count as having one."""
    name = b"nothing.weight"
    entry = struct.pack(f"<i{len(name)}sii4f", len(name), name, 1, 4, 1, 1, 1, 1)
    path.write_bytes(struct.pack("<i", 1) + entry + struct.pack("<ii3s", 1, 3, b"abc"))


def asked(quantize: str, model: Path, quant: str, imatrix: Path | None) -> dict[str, str]:
    """What quantize would make of each tensor."""
    matrix = [] if imatrix is None else ["--imatrix", str(imatrix)]
    name = "MXFP4_MOE" if quant == "MXFP4" else quant
    done = subprocess.run(
        [quantize, *matrix, "--dry-run", str(model), name], capture_output=True, text=True, timeout=120, check=False
    )
    found = {match[1]: (match[3] or match[2]).lower() for match in _LINE.finditer(done.stdout + done.stderr)}
    if not found:
        sys.exit(f"{quantize} says nothing of {quant}:\n{(done.stdout + done.stderr)[-1000:]}")
    return found


def main() -> None:
    """Compare every shape, and print what differs."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    shapes = {model.architecture: model.id for model in load().models if model.architecture is not None}
    tensors = different = 0
    with tempfile.TemporaryDirectory() as folder:
        path, matrix = Path(folder) / "model.gguf", Path(folder) / "imatrix.dat"
        write_imatrix(matrix)
        for arch, name in shapes.items():
            write_hollow_gguf(arch, path)
            for quant in quant_types():
                for imatrix in (None, matrix):
                    if quant in _CONVERTED or (imatrix is None and _NEEDS_IMATRIX.match(quant)):
                        continue
                    given = tensor_table(arch, quant, imatrix=imatrix is not None)
                    ours = {t.name: t.type for t in given if not (arch.name == "gpt-oss" and "_exps." in t.name)}
                    theirs = asked(sys.argv[1], path, quant, imatrix)
                    wrong = [tensor for tensor, kind in ours.items() if theirs.get(tensor) != kind]
                    tensors, different = tensors + len(ours), different + len(wrong)
                    for tensor in wrong[:3]:
                        print(f"{name} {quant}: {tensor} is {ours[tensor]}, quantize says {theirs.get(tensor)}")
    print(f"{len(shapes)} shapes, {tensors:,} tensors compared, {different} differ")
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
