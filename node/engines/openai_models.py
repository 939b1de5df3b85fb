"""From each server's list of models to model reports: llama.cpp, LM Studio and the rest. Knows no HTTP."""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from node.engines.reading import mapping, model_name, parameters, positive, text, words
from node.wire import ModelReport

_QUANTIZATION = re.compile(r"[.-]((?:i?q\d\w*|[bf]+p?(?:8|16|32)|mxfp4\w*))(?:\.gguf)?$", re.IGNORECASE)
_WORD_PIECES = 3
"""llama.cpp's number of the vocabulary of BERT and its kin, which make vectors only."""
_CAPABILITY = {"embed": "embedding", "rerank": "rerank"}
_FLAGS = {"rerank": ("--rerank", "--reranking"), "embed": ("--embedding", "--embeddings")}
Rows = Iterable[Mapping[str, Any]]


def plain(listing: Rows) -> list[ModelReport]:
    """OpenAI's own shape, with vLLM's ``max_model_len``: what such a server lists, it serves from memory."""
    models = []
    for row in listing:
        if name := model_name(row.get("id")):
            context = positive(row.get("max_model_len"))
            models.append(ModelReport(name=name, loaded=True, context_length=context, context_max=context))
    return models


def llama(listing: Rows, props: Mapping[str, Any], *, router: bool) -> list[ModelReport]:
    """llama.cpp's server: one loaded model, or, as a router, many of which some are loaded."""
    return [model for row in listing if (model := _llama_model(row, {} if router else props, router=router))]


def _llama_model(row: Mapping[str, Any], props: Mapping[str, Any], *, router: bool) -> ModelReport | None:
    told = text(row.get("id"))
    name = model_name(PurePosixPath(told.replace("\\", "/")).name if told.endswith(".gguf") else told)
    if not name:
        return None
    meta = mapping(row.get("meta"))
    status = text(mapping(row.get("status")).get("value"))
    loaded = status == "loaded" if router or status else True
    size = positive(meta.get("size"))
    settings = mapping(props.get("default_generation_settings"))
    context = positive(settings.get("n_ctx")) or positive(meta.get("n_ctx"))
    quantization = text(meta.get("ftype")) or text(props.get("model_ftype")) or quantization_of(told)
    modality = _started_for(row) if router else "embed" if makes_vectors(row) else "llm"
    return ModelReport(
        name=name,
        modality=modality,
        loaded=loaded,
        size_bytes=size,
        resident_bytes=size if loaded else None,
        context_length=context if loaded else None,
        context_max=positive(meta.get("n_ctx_train")),
        format="gguf",
        parameters=parameters(meta.get("n_params")),
        quantization=quantization,
        capabilities=_llama_capabilities(row, props) if modality == "llm" else (_CAPABILITY[modality],),
    )


def makes_vectors(row: Mapping[str, Any]) -> bool:
    """Whether a row of llama.cpp's list is of a model that can do nothing else: none of BERT's kin writes words."""
    return mapping(row.get("meta")).get("vocab_type") == _WORD_PIECES


def _started_for(row: Mapping[str, Any]) -> str:
    """What a router of llama.cpp's starts a model for, by the arguments that it tells."""
    told = mapping(row.get("status")).get("args")
    arguments = told if isinstance(told, list) else []
    return next((kind for kind, flags in _FLAGS.items() if any(flag in arguments for flag in flags)), "llm")


def _llama_capabilities(row: Mapping[str, Any], props: Mapping[str, Any]) -> tuple[str, ...]:
    modalities = mapping(props.get("modalities"))
    inputs = words(mapping(row.get("architecture")).get("input_modalities"))
    caps = mapping(props.get("chat_template_caps"))
    known = {
        "completion": bool(props) or bool(inputs),
        "tools": caps.get("supports_tools") is True,
        "vision": modalities.get("vision") is True or "image" in inputs,
        "audio": modalities.get("audio") is True or "audio" in inputs,
    }
    return tuple(name for name, has in known.items() if has)


def lm_studio(listing: Rows) -> list[ModelReport]:
    """LM Studio's own list, which tells what is loaded and what kind of model each one is."""
    models = []
    for row in listing:
        name = model_name(row.get("id"))
        if not name:
            continue
        kind = text(row.get("type"))
        loaded = row.get("state") == "loaded"
        vision = ("vision",) if kind == "vlm" else ()
        tools = ("tools",) if "tool_use" in words(row.get("capabilities")) else ()
        embed = kind == "embeddings"
        models.append(
            ModelReport(
                name=name,
                modality="embed" if embed else "llm",
                loaded=loaded,
                context_length=positive(row.get("loaded_context_length")) if loaded else None,
                context_max=positive(row.get("max_context_length")),
                format=text(row.get("compatibility_type")),
                family=text(row.get("arch")),
                quantization=text(row.get("quantization")),
                capabilities=("embedding",) if embed else ("completion", *tools, *vision),
            )
        )
    return models


def quantization_of(file_name: str) -> str:
    """``SmolLM2-135M-Instruct.Q4_1.gguf`` -> ``Q4_1``; nothing when the name does not tell."""
    found = _QUANTIZATION.search(file_name)
    return found.group(1).upper() if found else ""
