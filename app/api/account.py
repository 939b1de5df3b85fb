"""What Ollama's clients ask about an account in the cloud: this router has none. Knows no model and no node."""

from typing import Any

from litestar import Controller, Response, delete, get, post


class Account(Controller):
    @get("/api/status", summary="Whether models in Ollama's cloud are served: they are not")
    async def status(self) -> dict[str, Any]:
        return {"cloud": {"disabled": True, "source": "herd"}}

    @post("/api/me", status_code=401, summary="Who is signed in: nobody")
    async def me(self) -> dict[str, str]:
        return {"error": "unauthorized"}

    @post("/api/signout", status_code=401, summary="Sign out: nobody is signed in")
    async def sign_out(self) -> dict[str, str]:
        return {"error": "you are not currently signed in"}

    @delete("/api/user/keys/{key:str}", status_code=401, summary="Sign out, in older clients' words")
    async def forget_key(self) -> Response[dict[str, str]]:
        return Response({"error": "you are not currently signed in"}, status_code=401)
