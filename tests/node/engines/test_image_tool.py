"""The command lines of mflux and DiffusionKit, word for word, and how what they say is read."""

import msgspec
import pytest
from fakes.image_tools import png
from hypothesis import given
from hypothesis import strategies as st

from node.engines.diffusionkit import DIFFUSIONKIT
from node.engines.image_order import Order, Refused, order_of
from node.engines.image_tool import (
    Abilities,
    ImageTool,
    abilities_of,
    downloading,
    last_line,
    png_size,
    progress_of,
    words_of,
)
from node.engines.mflux import MFLUX

HELP_OF_MFLUX = """
usage: mflux-generate [-h] [--model MODEL] [--quantize {3,5,4,6,8}] [--prompt PROMPT | --prompt-file PROMPT_FILE]
                      [--negative-prompt NEGATIVE_PROMPT] [--seed SEED [SEED ...]] [--height HEIGHT]
options:
  -h, --help            show this help message and exit
  --model MODEL, -m MODEL
  --quantize {3,5,4,6,8}, -q {3,5,4,6,8}
  --width WIDTH         Image width (see the non-option --x)
  --steps STEPS  --guidance GUIDANCE --output OUTPUT
"""
MFLUX_CAN = abilities_of(HELP_OF_MFLUX)
DIFFUSIONKIT_CAN = Abilities(
    options=frozenset({"--prompt", "--model-version", "--steps", "--cfg", "--negative_prompt", "--seed", "--t5"})
)


def words(tool: ImageTool, can: Abilities, **ordered: object) -> list[str]:
    order = order_of(msgspec.json.encode({"prompt": "a red barn", **ordered}))
    recipe = next(recipe for recipe in tool.recipes if recipe.model == order.model)
    return [recipe.program, *words_of(tool, recipe, order, can)]


def test_flux_schnell_with_nothing_chosen():
    assert words(MFLUX, MFLUX_CAN, model="flux-schnell") == [
        "mflux-generate", "--model=schnell", "--prompt=a red barn", "--width=1024", "--height=1024", "--steps=4",
        "--quantize=8", "--output=image.png",
    ]  # fmt: skip


def test_flux_dev_with_everything_chosen():
    chosen = {"size": "512x256", "steps": 30, "guidance": 3.5, "seed": 7, "negative_prompt": "fog", "quantize": 4}
    assert words(MFLUX, MFLUX_CAN, model="flux-dev", **chosen) == [
        "mflux-generate", "--model=dev", "--prompt=a red barn", "--width=512", "--height=256", "--steps=30",
        "--guidance=3.5", "--seed=7", "--negative-prompt=fog", "--quantize=4", "--output=image.png",
    ]  # fmt: skip


def test_z_image_turbo_has_a_program_of_its_own():
    assert words(MFLUX, MFLUX_CAN, model="z-image-turbo") == [
        "mflux-generate-z-image-turbo", "--prompt=a red barn", "--width=1024", "--height=1024", "--steps=9",
        "--quantize=8", "--output=image.png",
    ]  # fmt: skip


def test_sd3_medium_with_everything_chosen():
    chosen = {"size": "512x512", "steps": 20, "guidance": 7.0, "seed": 0, "negative_prompt": "fog"}
    assert words(DIFFUSIONKIT, DIFFUSIONKIT_CAN, model="sd3-medium", **chosen) == [
        "diffusionkit-cli", "--model-version=argmaxinc/mlx-stable-diffusion-3-medium", "--prompt=a red barn",
        "--width=512", "--height=512", "--steps=20", "--cfg=7", "--seed=0", "--negative_prompt=fog",
        "--output-path=image.png",
    ]  # fmt: skip


def test_sd3_5_large_uses_its_large_text_encoder():
    assert words(DIFFUSIONKIT, DIFFUSIONKIT_CAN, model="sd3.5-large") == [
        "diffusionkit-cli", "--model-version=argmaxinc/mlx-stable-diffusion-3.5-large", "--t5", "--prompt=a red barn",
        "--width=1024", "--height=1024", "--steps=50", "--output-path=image.png",
    ]  # fmt: skip


@given(prompt=st.text(min_size=1, max_size=50).filter(lambda text: "\0" not in text), seed=st.integers(0, 2**62))
def test_no_prompt_can_be_read_as_an_option(prompt: str, seed: int):
    made = words_of(
        MFLUX, MFLUX.recipes[0], Order(model="flux-dev", prompt=prompt, negative_prompt=prompt, seed=seed), MFLUX_CAN
    )
    assert all(word.startswith("--") and "=" in word for word in made)
    assert [word.partition("=")[0] for word in made].count("--prompt") == 1


def test_a_lone_dash_is_a_prompt_and_not_the_tools_stdin():
    assert "--prompt=- " in words(MFLUX, MFLUX_CAN, model="flux-dev", prompt="-")


@pytest.mark.parametrize(
    ("tool", "can", "ordered", "said"),
    [
        (DIFFUSIONKIT, DIFFUSIONKIT_CAN, {"model": "sd3-medium", "quantize": 8}, "quantize is not known"),
        (MFLUX, MFLUX_CAN, {"model": "flux-dev", "quantize": 7}, "quantize takes only 3, 4, 5, 6, 8"),
        (MFLUX, Abilities(), {"model": "flux-dev", "negative_prompt": "fog"}, "negative_prompt is not known"),
    ],
)
def test_what_a_program_does_not_know_is_refused_by_name_and_not_dropped(tool, can, ordered, said):
    with pytest.raises(Refused, match=said):
        words(tool, can, **ordered)


def test_a_tool_that_knows_no_quantizing_is_not_asked_to():
    assert not [word for word in words(MFLUX, Abilities(), model="flux-dev") if "quantize" in word]


def test_help_tells_options_and_the_values_of_those_that_allow_only_some():
    assert {"--model", "--prompt", "--prompt-file", "--negative-prompt", "--output"} <= MFLUX_CAN.options
    assert MFLUX_CAN.choices == {"--quantize": frozenset("34568")}
    newer = abilities_of("options:\n  --quantize, -q {4,8}\n  --model, -m {dev,schnell}  The model")
    assert newer.choices == {"--quantize": frozenset("48"), "--model": frozenset({"dev", "schnell"})}
    assert newer.allow("--model=dev")
    assert not newer.allow("--model=krea")


@pytest.mark.parametrize(
    ("said", "share", "fetched"),
    [
        ("", None, ""),
        ("Loading ...\n", None, ""),
        ("\r  0%|          | 0/8 [00:00<?, ?it/s]", 0.0, ""),
        ("\r  0%|  | 0/8 [00:00]\r 37%|███▋      | 3/8 [00:05<00:09,  1.8s/it]", 0.37, ""),
        ("\r100%|██████████| 8/8 [00:14<00:00]\nsaved", 1.0, ""),
        ("\rFetching 12 files:  25%|██▌       | 3/12 [00:01<00:04]", None, "Fetching 12 files 25%"),
        ("\rmodel.safetensors:  10%|█   | 1.20G/12.0G [00:10<01:30, 120MB/s]", None, "model.safetensors 10%"),
        ("\rFetching: 50%|# | 1/2 [00:01]\n\x1b[A\rb.bin:  10%|  | 1.2G/12G [00:10]\x1b[A", None, "b.bin 10%"),
        ("\ra.safetensors: 100%|██| 2/2 [00:10]\n\r 50%|█████     | 2/4 [00:01<00:01]", 0.5, ""),
    ],
)
def test_bars_tell_how_far_it_is_and_whether_weights_are_fetched(said, share, fetched):
    assert (progress_of(said), downloading(said)) == (share, fetched)


@given(said=st.text(alphabet="ab: 019%|█▏/[\r\n", max_size=200))
def test_no_text_is_too_strange_to_be_read(said: str):
    assert 0 <= (progress_of(said) or 0) <= 1
    assert "\n" not in downloading(said) + last_line(said)


def test_the_last_word_is_no_bar_and_holds_nothing_that_moves_a_cursor():
    said = "Traceback\n  File\nMemoryError: \x1b[31mno\x07 room\n\r 50%|█████     | 2/4 [00:01<00:01]\n"
    assert last_line(said) == "MemoryError: no room"


BAD = [
    (b"{", "makes no sense"),
    (b"[]", "makes no sense"),
    (b'{"model":"flux-dev"}', "prompt"),
    (b'{"prompt":"x"}', "model"),
    (b'{"model":"flux-dev","prompt":"\\ud800"}', "makes no sense"),
    ({"prompt": ""}, "prompt"),
    ({"prompt": "a\0b"}, "NUL"),
    ({"negative_prompt": "\0"}, "negative_prompt holds a NUL"),
    ({"prompt": "x" * 8001}, "prompt"),
    ({"size": "1024"}, "size"),
    ({"size": "auto"}, "size"),
    ({"size": "٣٢x64"}, "size"),
    ({"size": "48x64"}, "width must be 64 to 2048"),
    ({"size": "64x2064"}, "height must be 64 to 2048"),
    ({"size": "500x512"}, "width must be a multiple of 16 pixels: 496 or 512"),
    ({"steps": 0}, "steps"),
    ({"steps": 101}, "steps"),
    ({"steps": "4"}, "steps"),
    ({"guidance": -1}, "guidance"),
    ({"seed": -1}, "seed"),
    ({"n": 0}, "n"),
    ({"n": 11}, "n"),
    ({"response_format": "url"}, "response_format"),
]


@pytest.mark.parametrize(("body", "said"), BAD)
def test_an_order_that_cannot_be_made_is_refused_by_name(body, said):
    if isinstance(body, dict):
        body = msgspec.json.encode({"model": "flux-dev", "prompt": "x", **body})
    with pytest.raises(Refused, match=said) as refused:
        order_of(body)
    assert refused.value.answer().status == 400


def test_the_size_of_an_image_is_in_its_header():
    assert png_size(png(96, 64, 5)) == (96, 64)
    assert png_size(png(96, 64, 5)[:-6]) is None
    assert png_size(b"GIF89a") is None
    assert png_size(b"") is None
