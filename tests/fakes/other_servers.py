"""Servers that are neither Ollama's nor llama.cpp's, as they answer before any work: recorded. Knows no product code.

async with WhisperServer() as fake:             # whisper.cpp's: a page, /inference, no list of models
async with PictureServer() as fake:             # stable-diffusion.cpp's
async with Gateway("/v1/embeddings") as fake:   # a framework's server with these routes
    fake.worked        requests that would have been worked on: what only asks must leave it empty
"""

from typing import Any

from fakes.scripted import Answer, Request, ScriptedServer, replying

PAGE = """
    <html>
    <head>
        <title>Whisper.cpp Server</title>
    </head>
    <body>
        <h1>Whisper.cpp Server</h1>
        <h2>{place}</h2>
        <form action="{place}" method="POST" enctype="multipart/form-data">
            <input type="file" id="file" name="file" accept="audio/*" required><br>
        </form>
    </body>
    </html>
"""


class Server(ScriptedServer):
    """One that keeps what it would have worked on."""

    def __init__(self, **where: Any) -> None:
        super().__init__(**where)
        self.worked: list[Request] = []

    def works(self, request: Request, answer: Any) -> Answer:
        self.worked.append(request)
        return replying(answer)


class WhisperServer(Server):
    """``place`` is where it was told to take recordings; ``page`` false: its page was replaced by another."""

    def __init__(self, place: str = "/inference", *, page: bool = True, **where: Any) -> None:
        super().__init__(**where)
        self.place = place
        self.page = page

    def respond(self, request: Request) -> Answer:
        match request.method, request.path:
            case "GET", "/":
                text = PAGE.format(place=self.place) if self.page else "<html><title>Dictation</title></html>"
                return Answer(pieces=(text.encode(),), content_type="text/html")
            case "GET", "/health":
                return replying({"status": "ok"})
            case "POST", self.place if b'name="file"' not in request.body:
                return replying({"error": "no 'file' field in the request"}, 400)
            case "POST", self.place:
                return self.works(request, {"text": " Hello."})
        return Answer(status=404, content_type="text/plain")


class PictureServer(Server):
    """``model`` is its file without ending. ``age``: 0 has all its APIs, 1 not the newest, 2 OpenAI's only."""

    def __init__(
        self, model: str = "flux1-schnell-q4_0", *, age: int = 0, modes: tuple[str, ...] = ("img_gen",)
    ) -> None:
        super().__init__()
        self.model = model
        self.age = age
        self.modes = modes

    def respond(self, request: Request) -> Answer:
        match request.method, request.path:
            case "GET", "/":
                return Answer(pieces=(b"Stable Diffusion Server is running",), content_type="text/html")
            case "GET", "/v1/models":
                return replying({"data": [{"id": "sd-cpp-local", "object": "model", "owned_by": "local"}]})
            case "GET", "/sdcpp/v1/capabilities" if self.age < 1:
                model = {"name": f"{self.model}.gguf", "stem": self.model, "path": f"/m/{self.model}.gguf"}
                return replying({"model": model, "current_mode": self.modes[0], "supported_modes": list(self.modes)})
            case "GET", "/sdapi/v1/sd-models" if self.age < 2:
                return replying([{"title": self.model, "model_name": self.model, "hash": "8888888888"}])
            case "POST", "/v1/images/generations":
                return self._picture(request)
        return Answer(status=404, content_type="text/plain")

    def _picture(self, request: Request) -> Answer:
        try:
            prompt = request.json().get("prompt")
        except ValueError as error:
            return replying({"error": "server_error", "message": str(error)}, 500)
        if not prompt:
            return replying({"error": "prompt required"}, 400)
        return self.works(request, {"created": 1, "data": [{"b64_json": ""}]})


class Gateway(Server):
    """A server as frameworks make them, with these routes. ``models``: those it lists; None: it lists none.

    ``owner`` "vllm": all routes are there, and what its model cannot is told by those that were read.
    """

    def __init__(self, *routes: str, models: tuple[str, ...] | None = None, owner: str = "somebody") -> None:
        super().__init__()
        self.routes = routes
        self.models = models
        self.owner = owner

    def respond(self, request: Request) -> Answer:
        if request.path == "/version" and self.owner == "vllm":
            return replying({"version": "0.9.2"})
        if request.path == "/v1/models" and self.models is not None:
            rows = [{"id": name, "object": "model", "created": 1, "owned_by": self.owner} for name in self.models]
            return replying({"object": "list", "data": rows})
        if request.path not in self.routes and self.owner != "vllm":
            return replying({"detail": "Not Found"}, 404)
        if request.method != "POST":
            return replying({"detail": "Method Not Allowed"}, 405)
        if request.path == "/v1/audio/transcriptions" and b'name="file"' not in request.body:
            return replying({"detail": [{"type": "missing", "loc": ["body", "file"], "msg": "Field required"}]}, 422)
        try:
            told = request.json()
        except ValueError:
            return replying({"detail": [{"type": "json_invalid", "loc": ["body", 1], "msg": "JSON decode error"}]}, 422)
        if not told.get("model"):
            return replying({"detail": [{"type": "missing", "loc": ["body", "model"], "msg": "Field required"}]}, 422)
        if request.path not in self.routes:
            error = {"message": "The model does not support this API", "type": "BadRequestError", "code": 400}
            return replying({"object": "error", **error}, 400)
        if told.get("max_tokens") == 0 or told.get("input") == [] or told.get("documents") == []:
            return replying({"object": "error", "message": "nothing to do", "code": 400}, 400)
        return self.works(request, {})
