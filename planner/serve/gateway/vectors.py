"""What an embedder answers, and whether it is a vector one may store."""

import base64
import binascii
import math
import sys
from array import array

import msgspec

from planner.serve.gateway.errors import ApiError


class BadVectorsError(Exception):
    """An embedder's answer that must not be stored; the text says what is wrong with it."""


class Vector(msgspec.Struct):
    """A vector that may be stored, and the JSON it came as, if it was a list of numbers and is still whole."""

    values: list[float]
    raw: msgspec.Raw | None = None


class _Item(msgspec.Struct):
    index: int
    embedding: msgspec.Raw


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0


class _Answer(msgspec.Struct):
    data: list[_Item]
    usage: _Usage | None = None


_DECODER = msgspec.json.Decoder(_Answer)
_NUMBERS = msgspec.json.Decoder(list[float])
_LIKELY = msgspec.json.Decoder(list[float | None] | str)
_BROKEN = "its answer is not a list of vectors of numbers (NaN is not a number)"


def read_vectors(raw: bytes, *, count: int, length: int | None) -> tuple[list[Vector], int]:
    """The `count` vectors of a `/v1/embeddings` answer in the order of the input, and the tokens it took.

    Every vector has `length` values (None: all the same length), all finite, and is not zero. Engines have been
    seen to answer NaN (as JSON null) until they are restarted. Raises BadVectorsError.
    """
    try:
        answer = _DECODER.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadVectorsError(_BROKEN) from error
    if sorted(item.index for item in answer.data) != list(range(count)):
        raise BadVectorsError(f"it returned {len(answer.data)} vectors for {count} texts, or numbered them wrongly")
    vectors: list[Vector] = []
    for item in sorted(answer.data, key=lambda item: item.index):
        vector = _vector(item.embedding)
        count = len(vector.values)
        expected = length if length is not None else len(vectors[0].values) if vectors else count
        if count != expected or not count:
            raise BadVectorsError(f"a vector has {count} values instead of {expected}")
        norm = math.hypot(*vector.values)
        if not math.isfinite(norm):
            raise BadVectorsError("a vector holds NaN or infinite values")
        if norm < sys.float_info.min:
            raise BadVectorsError("a vector is zero")
        vectors.append(vector)
    return vectors, answer.usage.prompt_tokens if answer.usage is not None else 0


def _vector(embedding: msgspec.Raw) -> Vector:
    """Raises BadVectorsError saying why it is none."""
    try:
        return Vector(_NUMBERS.decode(embedding), embedding)
    except msgspec.MsgspecError:
        pass
    try:
        found = _LIKELY.decode(embedding)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadVectorsError(_BROKEN) from error
    if not isinstance(found, str):
        raise BadVectorsError("a vector holds NaN (null) values")
    try:
        packed = array("f", base64.b64decode(found, validate=True))
    except (binascii.Error, ValueError) as error:
        raise BadVectorsError("a vector is not valid base64") from error
    return Vector(list(_little_endian(packed)))


def shorten(vector: Vector, length: int) -> Vector:
    """The first `length` values, scaled to norm 1: what Matryoshka training makes meaningful.

    Raises BadVectorsError when nothing but zeros is left.
    """
    head = vector.values[:length]
    norm = math.hypot(*head)
    if norm < sys.float_info.min:
        raise BadVectorsError("a shortened vector is zero")
    return Vector([value / norm for value in head])


def check_dimensions(wanted: int, *, length: int, matryoshka: tuple[int, ...], model_id: str) -> None:
    """Refuse a length the model's vectors were not trained to be cut to. Raises ApiError 400."""
    if wanted == length or wanted in matryoshka:
        return
    choices = ", ".join(str(n) for n in sorted({*matryoshka, length}))
    raise ApiError(
        400,
        f"'dimensions' can be {choices} with '{model_id}': its vectors "
        f"{'were trained to be cut to these lengths only' if matryoshka else 'lose their meaning when cut'}.",
        code="invalid_value",
        param="dimensions",
    )


def encode_vector(vector: Vector, *, as_base64: bool) -> msgspec.Raw:
    """A vector as JSON: a list of numbers, or little-endian float32 in base64 as OpenAI has it."""
    if not as_base64:
        return vector.raw if vector.raw is not None else msgspec.Raw(msgspec.json.encode(vector.values))
    packed = _little_endian(array("f", vector.values)).tobytes()
    return msgspec.Raw(msgspec.json.encode(base64.b64encode(packed).decode()))


def _little_endian(values: "array[float]") -> "array[float]":
    if sys.byteorder == "big":
        values.byteswap()
    return values
