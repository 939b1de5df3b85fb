"""Whatever JSON a stranger's program sends, reading it gives model reports or nothing, and never an exception."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from node.engines import openai_models
from node.engines.http import Said
from node.engines.ollama import model_of, shown_of
from node.engines.openai import is_herds, is_ollamas, speaks_openai
from node.engines.reading import mapping, model_name, parameters, rows, text, whole, words
from node.wire import ModelReport

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner), max_leaves=12
)
keys = st.sampled_from(
    [
        "id",
        "meta",
        "status",
        "value",
        "n_ctx",
        "n_ctx_train",
        "n_params",
        "size",
        "ftype",
        "architecture",
        "input_modalities",
        "name",
        "model",
        "digest",
        "details",
        "family",
        "context_length",
        "capabilities",
        "model_info",
        "modelfile",
        "llama.context_length",
        "expires_at",
        "type",
        "state",
        "data",
        "object",
        "default_generation_settings",
        "modalities",
        "chat_template_caps",
        "owned_by",
    ]
)
rowish = st.dictionaries(keys, anything | st.dictionaries(keys, anything, max_size=4), max_size=8)


def _travels(model: ModelReport) -> bool:
    return msgspec.json.decode(msgspec.json.encode(model), type=ModelReport) == model


@given(row=rowish, loaded=st.none() | rowish, shown=rowish)
def test_any_rows_make_an_ollama_model_that_can_travel(row, loaded, shown):
    assert _travels(model_of("m:1", row, loaded, shown_of(shown)))


@given(listing=st.lists(rowish, max_size=4), props=rowish, router=st.booleans())
def test_any_rows_make_openai_models_that_can_travel(listing, props, router):
    for models in (
        openai_models.plain(listing),
        openai_models.lm_studio(listing),
        openai_models.llama(listing, props, router=router),
    ):
        assert all(_travels(model) and 0 < len(model.name) <= 200 for model in models)


@given(value=anything)
def test_any_value_is_read_without_an_exception(value):
    said = Said(200, {}, value)
    assert speaks_openai(said) in (True, False)
    assert is_herds(said) in (True, False)
    assert is_ollamas(said) in (True, False)
    assert list(rows(value)) is not None
    assert parameters(value) is not None
    assert mapping(value) is not None
    assert all(word.isprintable() for word in words(value))
    number = whole(value)
    assert number is None or 0 <= number <= 2**62
    assert text(value).isprintable()
    assert model_name(value) == "" or model_name(value) == value
