"""Every way in which a request can fail, each with a status, a code and a hint. Knows no dialect and no HTTP library.

HerdError                       status
  RequestError                  400   the client sent something that cannot be served
    BodyInvalid                 400   not JSON, not an object, a field of a wrong type
    ModelMissing                400   no model was named
    TooLarge                    413   the body is over the limit
    Unservable                  400   nobody can ever serve it: too long a prompt, or no such capability
    EncodingUnknown             415   the body is compressed in a way that is not understood
  Forbidden                     403   a page of a foreign origin asked
  Misdirected                   421   the router was called by a name that is not its own
  Unauthorized                  401   a token is needed and was not shown, or is wrong
  NotFound                      404   nothing of that name is known
    ModelAbsent                 404   no node has the model
  HoldTimeout                   503   the model exists, nobody could take the request in time
  Disabled                      503   the kind of work is switched off
  NoRoom                        503   there is no room: on no node for a model that is to come, here for an upload
  PullFailed                    500   the engine could not get the model, in its own words
  NotServed                     501   the modality or operation is not served by this Herd
  SettingLocked                 409   held by a flag or an environment variable
  EngineRejected                4xx   the engine refused the request itself; its status (of Ollama also 500) and words
                                      are passed on
  NodeFailed                    502   may be tried on another node before the first record
    NodeUnreachable                   no connection
      NodeAway                        nothing answers at its address: it may be on its way to another
    NodeTimeout                       connected, but silent past its deadline
    EngineFailed                      the engine answered 5xx
    EngineBusy                        the engine answered 503: its own queue is full
    ModelGone                         the engine answered 404 for a model it had reported
    StreamBroken                      the answer ended before its terminal record
      Stalled                         it was under way and made no progress past its deadline
"""


class HerdError(Exception):
    """``message`` is for the client; ``hint`` says what to do; ``retry_after_s`` becomes a ``Retry-After`` header."""

    status = 500
    code = "server_error"

    def __init__(self, message: str, *, hint: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.retry_after_s = retry_after_s

    @property
    def text(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class RequestError(HerdError):
    status = 400
    code = "invalid_request_error"


class BodyInvalid(RequestError):
    pass


class ModelMissing(RequestError):
    pass


class TooLarge(RequestError):
    status = 413


class Unservable(RequestError):
    """``code`` says in which way."""

    def __init__(self, message: str, *, code: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


class EncodingUnknown(RequestError):
    status = 415


class Forbidden(HerdError):
    status = 403
    code = "forbidden"


class Misdirected(HerdError):
    status = 421
    code = "misdirected_request"


class Unauthorized(HerdError):
    status = 401
    code = "unauthorized"


class NotFound(HerdError):
    status = 404
    code = "not_found"


class ModelAbsent(NotFound):
    code = "model_not_found"


class HoldTimeout(HerdError):
    status = 503
    code = "model_not_available"


class Disabled(HerdError):
    status = 503
    code = "disabled"


class NoRoom(HerdError):
    status = 503
    code = "no_room"


class PullFailed(HerdError):
    status = 500
    code = "pull_failed"


class NotServed(HerdError):
    status = 501
    code = "not_implemented"


class SettingLocked(HerdError):
    status = 409
    code = "setting_locked"


class EngineRejected(HerdError):
    """The engine's own 4xx. ``body`` and ``content_type`` are its bytes, passed on when the dialect is the client's."""

    code = "invalid_request_error"

    def __init__(self, status: int, message: str, *, body: bytes = b"", content_type: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.body = body
        self.content_type = content_type


class NodeFailed(HerdError):
    status = 502
    code = "node_failed"


class NodeUnreachable(NodeFailed):
    pass


class NodeAway(NodeUnreachable):
    pass


class NodeTimeout(NodeFailed):
    pass


class EngineFailed(NodeFailed):
    pass


class EngineBusy(NodeFailed):
    status = 503
    code = "engine_busy"


class ModelGone(NodeFailed):
    pass


class StreamBroken(NodeFailed):
    pass


class Stalled(StreamBroken):
    pass
