"""One JSON file → one typed value, strictly: what is wrong is named with its file and position.

Plain decoders take the last of two equal keys, accept NaN and ignore unknown fields; a catalog that is edited by
hand must not.
"""

import difflib
import json
import math
import re
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import msgspec

from planner.core.values import decode_value
from planner.errors import CatalogError

T = TypeVar("T")

MAX_FILE_BYTES = 16 * 2**20
"""Far above any family's file; a limit because a catalog may come from anywhere."""

_LARGEST_SEARCHED = 2**21
"""Characters of a text that is searched for the places of a repeated key: about 2 s."""
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(?P<field>.*)`(?P<rest>.*)", re.DOTALL)
_MISSING_FIELD = re.compile(r"Object missing required field `(?P<field>.*)`", re.DOTALL)
_JSON_PATH = re.compile(r" - at `(?P<path>\$.*)`$", re.DOTALL)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


class FileError(CatalogError):
    """A catalog file that cannot be used. `field` is the place in it (`models[0].bytes`), "" for the whole file."""

    def __init__(self, message: str, *, hint: str, field: str = "") -> None:
        super().__init__(message, hint=hint)
        self.field = field


def read_file(path: Path, kind: type[T]) -> T:
    """Read and decode the file at `path`. Raises FileError naming the file and the position in it."""
    return decode(read_bytes(path), kind, name=str(path))


def read_shipped(path: Path, kind: type[T]) -> T:
    """Read and decode a file of ours, faster: `planner catalog check` and the tests look for repeated keys.

    Raises FileError for all else that `read_file` refuses.
    """
    return decode(read_bytes(path), kind, name=str(path), checked=True)


def read_bytes(path: Path) -> bytes:
    """The content of a catalog file. Raises FileError for what is no regular file, too large or unreadable.

    Type and size are looked at before it is opened: a pipe would wait for a writer, a device has no end.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, a device or a socket"
            raise FileError(
                f"{path} cannot be used: it is {kind}, not a regular file.",
                hint="Give a file in the format of catalog/models/*.json, or a folder of such files.",
            )
        if status.st_size > MAX_FILE_BYTES:
            _refuse_size(str(path))
        with path.open("rb") as stream:
            # No more than it had a moment ago: the buffer is allocated at once, and the limit is 16 MiB.
            return stream.read(status.st_size + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise FileError(f"{path} cannot be read: {reason}.", hint="Check the path and its permissions.") from error


def decode(raw: bytes, kind: type[T], *, name: str, checked: bool = False) -> T:
    """Decode one JSON document into `kind`; `name` is what messages call it.

    With `checked` no repeated key is looked for. Raises FileError for all that `parse` refuses, for unknown fields
    (naming the nearest known one), wrong types and values that cannot be.
    """
    try:
        if len(raw) <= MAX_FILE_BYTES and (checked or _repeats_no_key(raw)):
            return msgspec.json.decode(raw, type=kind, dec_hook=decode_value)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass  # what is wrong, and where, is found out the slow way
    return convert(parse(raw, name=name), kind, name=name)


def _repeats_no_key(raw: bytes) -> bool:
    """Whether no object of the document has a key twice; False also where that cannot be told at a glance.

    A document loses a colon with each key that decoding it drops, and no colon else, unless one was written as an
    escape. Half as long as looking at each object's keys.
    """
    return b"\\u003" not in raw and msgspec.json.encode(msgspec.json.decode(raw)).count(b":") == raw.count(b":")


def parse(raw: bytes, *, name: str) -> object:
    """The JSON document as plain values.

    Raises FileError for bad encoding or syntax, nesting without end, duplicate keys, and numbers that are none.
    """
    if len(raw) > MAX_FILE_BYTES:
        _refuse_size(name)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _refuse(name, f"it is not UTF-8: byte {error.start} is 0x{raw[error.start]:02x}")
    try:
        tree: object = json.loads(
            text, object_pairs_hook=_unique_keys, parse_constant=_no_constant, parse_float=_finite
        )
    except json.JSONDecodeError as error:
        _refuse(name, f"it is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}")
    except _DuplicateKeyError as error:
        _refuse(name, _describe_duplicate(text, str(error)))
    except _ConstantError as error:
        _refuse(name, f"{str(error)[:40]} is not a finite number{_line_of(text, str(error))}")
    except RecursionError:
        _refuse(name, "it is nested too deeply")
    except ValueError as error:
        # Integers of more than 4,300 digits: Python refuses to convert them.
        _refuse(name, f"it holds a number that cannot be: {error}")
    return tree


def convert(tree: object, kind: type[T], *, name: str) -> T:
    """Plain values as `kind`. Raises FileError naming the field."""
    try:
        return msgspec.convert(tree, kind, dec_hook=decode_value)
    except msgspec.ValidationError as error:
        reason, field = _describe_mismatch(str(error), tree, kind)
        _refuse(name, reason, field)
    except (RecursionError, OverflowError) as error:
        _refuse(name, f"it holds a value that cannot be: {error}")


class _DuplicateKeyError(Exception):
    pass


class _ConstantError(Exception):
    pass


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _DuplicateKeyError(Counter(key for key, _ in pairs).most_common(1)[0][0])
    return value


def _no_constant(text: str) -> NoReturn:
    raise _ConstantError(text)


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise _ConstantError(text)
    return value


def _refuse(name: str, reason: str, field: str = "") -> NoReturn:
    raise FileError(
        f"{name} cannot be used: {reason}.",
        hint="Correct the file; `planner catalog check FILE` looks at it alone.",
        field=field,
    )


def _refuse_size(name: str) -> NoReturn:
    _refuse(name, f"it is larger than {MAX_FILE_BYTES // 2**20} MiB, which no catalog file is")


def _line_of(text: str, word: str) -> str:
    match = re.search(rf"(?<![\w\"]){re.escape(word)}(?![\w\"])", text)
    return f" (line {text.count(chr(10), 0, match.start()) + 1})" if match else ""


def _describe_duplicate(text: str, key: str) -> str:
    """The first key that stands twice in one object; with both places unless looking for them takes too long."""
    if len(text) <= _LARGEST_SEARCHED:
        for written, first, second in _duplicate_keys(text):
            return f"the key {written} stands twice in one object, at lines {first} and {second}"
    return f'the key "{key[:120]}" stands twice in one object'


def _duplicate_keys(text: str) -> Iterator[tuple[str, int, int]]:
    """(key as written, line, line) of keys that stand twice. Slow, so only for a file known to have one."""
    stack: list[dict[str, int]] = []
    line, position, last = 1, 0, ""
    last_line = 1
    for match in _TOKEN.finditer(text):
        line += text.count("\n", position, match.start())
        position = match.start()
        piece = match[0]
        if piece in "{[":
            stack.append({})
        elif piece in "}]" and stack:
            stack.pop()
        elif piece == ":" and stack:
            key = json.loads(last, strict=False)
            if key in stack[-1]:
                yield last, stack[-1][key], last_line
            stack[-1][key] = last_line
        last, last_line = piece, line


def _describe_mismatch(message: str, tree: object, kind: object) -> tuple[str, str]:
    """What msgspec says, with the model's id beside its index and the nearest known field; and the place alone."""
    at = _JSON_PATH.search(message)
    path = at["path"] if at else "$"
    reason = message[: at.start()] if at else message
    field = path.removeprefix("$").removeprefix(".")
    unknown = _UNKNOWN_FIELD.fullmatch(reason)
    if named := unknown or _MISSING_FIELD.fullmatch(reason):
        field = f"{field}.{named['field']}".removeprefix(".")
    if unknown:
        reason = f"unknown field “{unknown['field']}”{_nearest_field(unknown['field'], path, kind)}"
    else:
        reason = reason[:1].lower() + reason[1:]
    return f"{reason}, at {path}{_owner(path, tree)}", field


def _nearest_field(field: str, path: str, kind: object) -> str:
    structs = list(_structs(msgspec.inspect.type_info(kind)))
    for name in re.findall(r"\.(\w+)", path):
        inner = [known.type for struct in structs for known in struct.fields if known.name == name]
        structs = [struct for item in inner for struct in _structs(item)]
    fields = dict.fromkeys(known.name for struct in structs for known in struct.fields)
    near = difflib.get_close_matches(field, fields, n=1, cutoff=0.5)
    return f" (did you mean “{near[0]}”?)" if near else f" (known: {', '.join(fields)})"


def _structs(kind: msgspec.inspect.Type) -> Iterator[msgspec.inspect.StructType]:
    """The objects that a value of this type may be or hold, one level down."""
    if isinstance(kind, msgspec.inspect.StructType):
        yield kind
    elif isinstance(kind, msgspec.inspect.UnionType):
        for member in kind.types:
            yield from _structs(member)
    elif isinstance(kind, msgspec.inspect.CollectionType):
        yield from _structs(kind.item_type)
    elif isinstance(kind, msgspec.inspect.DictType):
        yield from _structs(kind.value_type)


def _owner(path: str, tree: object) -> str:
    match = re.match(r"\$\.models\[(\d+)\]", path)
    if match and isinstance(tree, dict):
        model = tree["models"][int(match[1])]
        identity = (model.get("id") or model.get("name")) if isinstance(model, dict) else None
        if isinstance(identity, str):
            return f" (model {identity[:120]})"
    return ""
