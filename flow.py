"""The flow: one node."""

from pocketflow import AsyncFlow

from nodes import StreamingChatNode


def create_streaming_chat_flow() -> AsyncFlow:
    """A flow that answers `shared["user_message"]` over `shared["websocket"]`."""
    return AsyncFlow(start=StreamingChatNode())
