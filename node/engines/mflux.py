"""mflux: FLUX.1 and Z-Image by MLX, one program for each family of models. Knows no process."""

from node.engines.image_tool import ImageTool, Recipe

MFLUX = ImageTool(
    kind="mflux",
    package="mflux",
    recipes=(
        Recipe(model="flux-dev", program="mflux-generate", words=("--model=dev",), steps=25),
        Recipe(model="flux-schnell", program="mflux-generate", words=("--model=schnell",), steps=4),
        Recipe(model="z-image-turbo", program="mflux-generate-z-image-turbo", steps=9),
    ),
    options={
        "guidance": "--guidance", "seed": "--seed", "negative_prompt": "--negative-prompt", "quantize": "--quantize",
    },
    output_option="--output",
    quantize=8,
)  # fmt: skip
