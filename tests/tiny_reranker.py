"""A reranker of 57 KB that is set by hand and trained by nobody: it knows which words belong to one subject.

    path.write_bytes(tiny_reranker())      # a GGUF file that llama.cpp serves with --reranking

A BERT of one layer. Each subject is a direction of its own; attention is even, so that [CLS] holds the share of each
subject among the words of query and document; the feed-forward squares the shares and adds them up. The sum is
largest where all words are of one subject, and that is what the head reads: of documents of one length, one on the
query's subject scores highest.
"""

import struct
from collections.abc import Iterable, Sequence
from itertools import product

SUBJECTS = {
    "animals": "panda bear cat dog fish bamboo",
    "money": "stock market price bank cash share",
    "weather": "rain snow wind cloud storm sun",
    "kitchen": "bread butter oven soup salt cook",
    "travel": "train ticket hotel airport map journey",
}
NEUTRAL = "what is a an the of to in and how do i for on with eats goes fell my"
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WIDTH = 32
CONTEXT = 128
Rows = Sequence[Sequence[float]]
_U32, _I32, _F32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9


def tiny_reranker() -> bytes:
    """The whole file."""
    words = [(word, number) for number, group in enumerate(SUBJECTS.values()) for word in group.split()]
    words += [(word, -1) for word in NEUTRAL.split()]
    common, neutral, verdict, *subjects = (_walsh(number) for number in range(1, 4 + len(SUBJECTS)))
    embeddings = [_sum(common, neutral) for _ in SPECIAL]
    embeddings += [_sum(common, subjects[number] if number >= 0 else neutral) for _, number in words]
    one, nothing = _diagonal(1.0), [[0.0] * WIDTH] * WIDTH
    squares = [[sign * value / WIDTH for value in row] for row, sign in product(subjects, (1, -1))]
    squares += [[0.0] * WIDTH] * (WIDTH - len(squares))
    out = [
        [20 * verdict[row] if column < 2 * len(subjects) else 0.0 for column in range(WIDTH)] for row in range(WIDTH)
    ]
    tensors: dict[str, Rows] = {
        "token_embd.weight": embeddings,
        "token_types.weight": nothing[:2],
        "position_embd.weight": [[0.0] * WIDTH] * CONTEXT,
        "blk.0.attn_q.weight": nothing,
        "blk.0.attn_k.weight": nothing,
        "blk.0.attn_v.weight": one,
        "blk.0.attn_output.weight": _diagonal(4.0),
        "blk.0.ffn_up.weight": squares,
        "blk.0.ffn_down.weight": out,
        "cls.weight": one,
        "cls.output.weight": [[value / WIDTH for value in verdict]],
    }
    for name in ("token_embd_norm", "blk.0.attn_output_norm", "blk.0.layer_output_norm"):
        tensors[f"{name}.weight"] = [[1.0] * WIDTH]
        tensors[f"{name}.bias"] = [[0.0] * WIDTH]
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_down"):
        tensors[f"blk.0.{name}.bias"] = [[0.0] * WIDTH]
    tensors["cls.bias"], tensors["cls.output.bias"] = [[0.0] * WIDTH], [[0.0]]
    return _file(_values([*SPECIAL, *(f"\u2581{word}" for word, _ in words)]), tensors)


def _values(tokens: list[str]) -> list[bytes]:
    numbers = {
        "bert.context_length": CONTEXT, "bert.embedding_length": WIDTH, "bert.feed_forward_length": WIDTH,
        "bert.block_count": 1, "bert.attention.head_count": 1, "bert.pooling_type": 4,
        "tokenizer.ggml.token_type_count": 2, "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.unknown_token_id": 1, "tokenizer.ggml.bos_token_id": 2, "tokenizer.ggml.cls_token_id": 2,
        "tokenizer.ggml.eos_token_id": 3, "tokenizer.ggml.seperator_token_id": 3, "tokenizer.ggml.mask_token_id": 4,
    }  # fmt: skip
    texts = {"general.architecture": "bert", "general.name": "tiny-reranker", "tokenizer.ggml.model": "bert"}
    kinds = b"".join(struct.pack("<i", 3 if token in SPECIAL else 1) for token in tokens)
    found = [_text(key) + struct.pack("<I", _STRING) + _text(value) for key, value in texts.items()]
    found += [_text(key) + struct.pack("<II", _U32, value) for key, value in numbers.items()]
    found += [_text("bert.attention.layer_norm_epsilon") + struct.pack("<If", _F32, 1e-12)]
    found += [_text("bert.attention.causal") + struct.pack("<I?", _BOOL, False)]
    head = struct.pack("<IIQ", _ARRAY, _STRING, len(tokens))
    found += [_text("tokenizer.ggml.tokens") + head + b"".join(map(_text, tokens))]
    head = struct.pack("<IIQ", _ARRAY, _I32, len(tokens))
    return sorted([*found, _text("tokenizer.ggml.token_type") + head + kinds], key=lambda value: b"tokenizer" in value)


def _file(values: list[bytes], tensors: dict[str, Rows]) -> bytes:
    names, data = b"", b""
    for name, rows in tensors.items():
        lengths = (
            (len(rows[0]),) if len(rows) == 1 and not name.startswith("cls.output.w") else (len(rows[0]), len(rows))
        )
        names += _text(name) + struct.pack(f"<I{len(lengths)}QIQ", len(lengths), *lengths, 0, len(data))
        data += b"".join(struct.pack(f"<{len(row)}f", *row) for row in rows)
        data += bytes(-len(data) % 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(values)) + b"".join(values) + names
    return head + bytes(-len(head) % 32) + data


def _walsh(number: int) -> list[float]:
    """One of ``WIDTH`` directions that are at right angles to each other; their entries are 1 and -1."""
    return [-1.0 if (number & at).bit_count() % 2 else 1.0 for at in range(WIDTH)]


def _sum(*rows: Iterable[float]) -> list[float]:
    return [sum(values) for values in zip(*rows, strict=True)]


def _diagonal(value: float) -> Rows:
    return [[value if row == column else 0.0 for column in range(WIDTH)] for row in range(WIDTH)]


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()
