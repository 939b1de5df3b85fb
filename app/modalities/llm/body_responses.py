"""What the router reads of a request of OpenAI's Responses. Pure; knows no engine."""

from collections.abc import Iterable, Iterator

import msgspec

from app.errors import BodyInvalid
from app.modalities.body import NOTHING, given, read, within
from app.modalities.llm.body import Output, View


class Part(msgspec.Struct):
    """One part of a message or of a tool's output."""

    type: str = ""
    text: str | None = None
    image_url: msgspec.Raw = NOTHING
    file_url: msgspec.Raw = NOTHING


class Item(msgspec.Struct):
    """One item of the input; what a type does not use is not read."""

    type: str = ""
    content: msgspec.Raw = NOTHING
    arguments: msgspec.Raw = NOTHING
    input: msgspec.Raw = NOTHING
    output: msgspec.Raw = NOTHING


class Responses(View, kw_only=True):
    limits = ("max_output_tokens",)
    input: str | list[Item]
    instructions: str | None = None
    max_output_tokens: Output = None
    previous_response_id: str | None = None
    conversation: msgspec.Raw = NOTHING
    background: bool | None = None
    reasoning: msgspec.Raw = NOTHING

    @property
    def thinks_not(self) -> bool:
        return within(self.reasoning, "effort") == b'"none"'

    @property
    def output(self) -> Output:
        return self.max_output_tokens

    @property
    def pictured(self) -> bool:
        return any(given(part.image_url) for part in self.parts())

    def measure(self) -> tuple[int, int]:
        characters = sum(map(len, self.tools or ())) + len(self.instructions or "")
        if isinstance(self.input, str):
            return characters + len(self.input), 1 + bool(self.instructions)
        characters += sum(len(part.text or "") for part in self.parts())
        for item in self.input:
            characters += len(item.arguments) + len(item.input)
        return characters, len(self.input) + bool(self.instructions)

    def links(self) -> Iterable[tuple[str, msgspec.Raw]]:
        for part in self.parts():
            yield "image_url", part.image_url
            yield "file_url", part.file_url

    def parts(self) -> Iterator[Part]:
        """Every part of every item; a plain text is one too."""
        for item in self.input if isinstance(self.input, list) else ():
            for raw in (item.content, item.output):
                if given(raw):
                    yield from parts_of(raw)

    def judge(self) -> None:
        """The router keeps no answer: another node may serve the next request. Raises ``BodyInvalid``."""
        for field, told in (
            ("previous_response_id", self.previous_response_id is not None),
            ("conversation", given(self.conversation)),
            ("background", bool(self.background)),
        ):
            if told:
                raise BodyInvalid(
                    f'the field "{field}" needs a server that keeps responses, and Herd keeps none',
                    hint="send the whole conversation as input, and store: false",
                )


def parts_of(raw: msgspec.Raw) -> list[Part]:
    """The parts of a content or an output, of whichever form. Raises ``BodyInvalid``."""
    told = read(_PARTS, raw, "input")
    if isinstance(told, str):
        return [Part(type="input_text", text=told)]
    return told if isinstance(told, list) else [told]


_PARTS: msgspec.json.Decoder[str | list[Part] | Part] = msgspec.json.Decoder(str | list[Part] | Part)
