"""The node: one message in, one reply out, chunk by chunk."""

from contextlib import aclosing
from typing import Any

from pocketflow import AsyncNode

from chat.frames import error_frame
from utils.pieces import Reasoning, ReplyCut
from utils.stream_llm import stream_llm

Shared = dict[str, Any]
Messages = list[dict[str, str]]


class StreamingChatNode(AsyncNode):  # type: ignore[misc]
    """Answers the user's message and adds both to the conversation's history.

    `max_retries` stays 1: a second try would show the text twice. Store nothing on `self`:
    PocketFlow runs a copy of the node, so it would be lost.
    """

    async def prep_async(self, shared: Shared) -> tuple[Messages, Any]:
        question = {"role": "user", "content": shared["user_message"]}
        return [*shared["conversation_history"], question], shared["websocket"]

    async def exec_async(self, prepared: tuple[Messages, Any]) -> str:
        messages, websocket = prepared
        text = ""
        status = "done"
        await websocket.send_json({"type": "start", "content": ""})
        try:
            async with aclosing(stream_llm(messages)) as chunks:
                async for chunk in chunks:
                    frame = {"type": "chunk", "content": chunk}
                    if isinstance(chunk, Reasoning):
                        frame["kind"] = "reasoning"
                    else:
                        text += chunk
                    await websocket.send_json(frame)
        except ReplyCut as cut:
            status = cut.status
            if cut.code:
                await websocket.send_json(error_frame(cut.code, retry=cut.retry))
        await websocket.send_json({"type": "end", "content": "", "status": status})
        return text

    async def post_async(
        self,
        shared: Shared,
        prepared: tuple[Messages, Any],
        text: str,
    ) -> None:
        # Skip a question without an answer: if the history is used again, as in the direct form,
        # the roles in it must alternate.
        if text:
            question = {"role": "user", "content": shared["user_message"]}
            answer = {"role": "assistant", "content": text}
            shared["conversation_history"] += [question, answer]
