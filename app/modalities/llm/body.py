"""What the router reads of a request body, in any dialect: the fields it judges by. Pure; knows no engine.

Only fields that the router itself needs are read and judged; every other one is the engine's affair.
"""

from collections.abc import Iterable
from typing import ClassVar

import msgspec

from app.errors import BodyInvalid
from app.modalities.body import NOTHING, given, judge_name, model_of, read, within
from app.modalities.llm import context
from node.wire import model_key

FALLBACKS_MOST = 16
NUMBER_MOST = 2**31 - 1
Output = int | float | None


class Link(msgspec.Struct):
    """Where an image, a sound or a film is to be had."""

    url: msgspec.Raw = NOTHING


class Part(msgspec.Struct):
    type: str = ""
    text: str | None = None
    image_url: msgspec.Raw = NOTHING
    audio_url: msgspec.Raw = NOTHING
    video_url: msgspec.Raw = NOTHING


class Message(msgspec.Struct):
    role: str | None = None
    content: str | list[Part] | None = None
    images: list[msgspec.Raw] | None = None
    tool_calls: msgspec.Raw = NOTHING


class Options(msgspec.Struct):
    num_predict: Output = None
    num_ctx: Output = None


class View(msgspec.Struct):
    """What every endpoint's body may say. ``limits`` are the fields (or options) by which it limits the output."""

    limits: ClassVar[tuple[str, ...]] = ()
    has_options: ClassVar[bool] = False

    model: str | None = None
    stream: bool | None = None
    fallback_models: list[str] | None = None
    fallback: bool | None = None
    tools: list[msgspec.Raw] | None = None

    @property
    def output(self) -> Output:
        """Tokens asked for at the most."""
        return None

    @property
    def pictured(self) -> bool:
        return False

    @property
    def num_ctx(self) -> int | None:
        """Tokens of context asked for."""
        options: Options | None = getattr(self, "options", None)
        return int(options.num_ctx) if options is not None and options.num_ctx and options.num_ctx > 0 else None

    @property
    def loads(self) -> bool:
        """Whether nothing is asked but to have the model in memory, or out of it."""
        return False

    @property
    def bound(self) -> bool:
        """Whether the request makes sense to the model it names only."""
        return self.loads

    @property
    def thinks_not(self) -> bool:
        """Whether the model is told not to think, or gets a prompt that leaves it no choice."""
        return False

    def measure(self) -> tuple[int, int]:
        """Characters of text, and the number of messages around them."""
        return 0, 0

    def links(self) -> Iterable[tuple[str, msgspec.Raw]]:
        """Where an engine would have to fetch something from: the field's name and its value."""
        return ()

    def judge(self) -> None:
        """Raises ``BodyInvalid`` for what no engine of a fleet can do."""


class ChatView(View):
    messages: list[Message] | None = None

    @property
    def pictured(self) -> bool:
        for message in self.messages or ():
            parts = message.content if isinstance(message.content, list) else ()
            if message.images or any(given(part.image_url) for part in parts):
                return True
        return False

    def measure(self) -> tuple[int, int]:
        characters = sum(map(len, self.tools or ()))
        for message in self.messages or ():
            content = message.content
            if isinstance(content, str):
                characters += len(content)
            elif content:
                characters += sum(len(part.text or "") for part in content if part.type == "text")
            if given(message.tool_calls):
                characters += len(message.tool_calls)
        return characters, len(self.messages or ())


class OllamaChat(ChatView):
    limits = ("num_predict",)
    has_options = True
    options: Options | None = None
    think: msgspec.Raw = NOTHING

    @property
    def loads(self) -> bool:
        return not self.messages

    @property
    def thinks_not(self) -> bool:
        return bytes(self.think) == b"false"

    @property
    def output(self) -> Output:
        return self.options.num_predict if self.options else None


class OllamaGenerate(View):
    limits = ("num_predict",)
    has_options = True
    prompt: str | None = None
    system: str | None = None
    suffix: str | None = None
    images: list[msgspec.Raw] | None = None
    raw: bool | None = None
    template: str | None = None
    context: msgspec.Raw = NOTHING
    options: Options | None = None
    think: msgspec.Raw = NOTHING

    @property
    def loads(self) -> bool:
        return not (self.prompt or self.images or self.suffix)

    @property
    def bound(self) -> bool:
        """A prompt in a model's own template or tokens, a gap to fill in, or only the model to load."""
        return bool(self.raw or self.template or self.suffix or given(self.context) or self.loads)

    @property
    def thinks_not(self) -> bool:
        return bytes(self.think) == b"false" or bool(self.raw)

    @property
    def output(self) -> Output:
        return self.options.num_predict if self.options else None

    @property
    def pictured(self) -> bool:
        return bool(self.images)

    def measure(self) -> tuple[int, int]:
        return sum(len(text or "") for text in (self.prompt, self.system, self.suffix)), 1


class OpenAIChat(ChatView):
    limits = ("max_tokens", "max_completion_tokens")
    max_tokens: Output = None
    max_completion_tokens: Output = None
    stream_options: dict[str, msgspec.Raw] | None = None
    reasoning_effort: msgspec.Raw = NOTHING
    reasoning: msgspec.Raw = NOTHING
    chat_template_kwargs: msgspec.Raw = NOTHING

    @property
    def thinks_not(self) -> bool:
        return (
            bytes(self.reasoning_effort) == _NONE
            or within(self.reasoning, "effort") == _NONE
            or within(self.chat_template_kwargs, "enable_thinking") == b"false"
        )

    @property
    def output(self) -> Output:
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    def links(self) -> Iterable[tuple[str, msgspec.Raw]]:
        for message in self.messages or ():
            for part in message.content if isinstance(message.content, list) else ():
                yield "image_url", part.image_url
                yield "audio_url", part.audio_url
                yield "video_url", part.video_url


class OpenAICompletion(View):
    limits = ("max_tokens",)
    prompt: str | list[str | int | list[int]] | None = None
    suffix: str | None = None
    max_tokens: Output = None
    stream_options: dict[str, msgspec.Raw] | None = None

    @property
    def output(self) -> Output:
        return self.max_tokens

    @property
    def bound(self) -> bool:
        return True  # a prompt that no template is put around

    @property
    def thinks_not(self) -> bool:
        return True

    def measure(self) -> tuple[int, int]:
        prompts = [self.prompt] if isinstance(self.prompt, str) else self.prompt or []
        characters = len(self.suffix or "")
        for prompt in prompts:
            if isinstance(prompt, str):
                characters += len(prompt)
            else:
                tokens = 1 if isinstance(prompt, int) else len(prompt)
                characters += context.CHARACTERS_PER_TOKEN * tokens
        return characters, 1


_NONE = b'"none"'


def names_of(view: View) -> tuple[str, ...]:
    """The asked model and the client's fallbacks. Raises ``ModelMissing`` or ``BodyInvalid``."""
    model = model_of(view.model)
    if not view.fallback_models:
        return (model,)
    if len(view.fallback_models) > FALLBACKS_MOST:
        raise BodyInvalid(f'the field "fallback_models" has more than {FALLBACKS_MOST} names')
    for name in view.fallback_models:
        judge_name("fallback_models", name)
    names: dict[str, str] = {}
    for name in (model, *view.fallback_models):
        names.setdefault(model_key(name), name)
    return tuple(names.values())


def judge_numbers(view: View) -> int | None:
    """The output asked for, in tokens. Raises ``BodyInvalid`` for what no engine could count."""
    options = getattr(view, "options", None)
    for field, value in (("num_ctx", options.num_ctx if options else None), ("the output's length", view.output)):
        if value is not None and not abs(value) <= NUMBER_MOST:
            raise BodyInvalid(f"{field} is out of range")
    return None if view.output is None else int(view.output)


def judge_links(view: View) -> None:
    """Nothing is ever fetched for a request: pictures, sounds and films come within it. Raises ``BodyInvalid``."""
    for field, raw in view.links():
        if given(raw):
            _judge_link(field, raw)


def _judge_link(field: str, raw: msgspec.Raw) -> None:
    link = read(_LINK, raw, field)
    head = link[:5] if isinstance(link, str) else bytes(memoryview(link.url)[1:6]).decode("ascii", "replace")
    if head.lower() != "data:":
        raise BodyInvalid(
            f'the field "{field}" holds an address, and nothing is fetched for a request',
            hint="send the content itself, as a data: URI such as data:image/png;base64,...",
        )


_LINK: msgspec.json.Decoder[Link | str] = msgspec.json.Decoder(Link | str)
