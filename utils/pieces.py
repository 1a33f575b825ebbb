"""What a text source yields, and the exception for an incomplete reply."""


class Reasoning(str):
    """Text the model wrote before its answer: shown collapsed, and not part of the answer."""


class ReplyCut(Exception):
    """The reply ended before it was complete.

    `status` is the status of the turn (docs/protocol.md lists them). If something failed, `code`
    is a key of `chat.frames.ERRORS`, and `retry` overrides that error's default.
    """

    def __init__(self, status: str, code: str = "", retry: bool | None = None) -> None:
        super().__init__(status, code)
        self.status = status
        self.code = code
        self.retry = retry
