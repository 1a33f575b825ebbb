"""The node: one message in, one reply out, chunk by chunk."""

from contextlib import aclosing
from typing import Any

from pocketflow import AsyncNode

from utils.frames import error_frame
from utils.reply_reader import Reasoning, ReplyCut
from utils.stream_llm import stream_llm

Shared = dict[str, Any]


class StreamingChatNode(AsyncNode):  # type: ignore[misc]
    """Answers the user's message and keeps the conversation.

    `max_retries` stays 1: a second try would show the text twice. Nothing is kept on `self`: PocketFlow runs
    copies of one node for everybody.
    """

    async def prep_async(self, shared: Shared) -> tuple[list[dict[str, str]], Any]:
        question = {"role": "user", "content": shared["user_message"]}
        return [*shared["conversation_history"], question], shared["websocket"]

    async def exec_async(self, prepared: tuple[list[dict[str, str]], Any]) -> str:
        messages, websocket = prepared
        text, status = "", "done"
        await websocket.send_json({"type": "start", "content": ""})
        try:
            async with aclosing(stream_llm(messages)) as chunks:
                async for chunk in chunks:
                    if isinstance(chunk, Reasoning):
                        await websocket.send_json({"type": "chunk", "content": chunk, "kind": "reasoning"})
                    else:
                        text += chunk
                        await websocket.send_json({"type": "chunk", "content": chunk})
        except ReplyCut as cut:
            status = cut.status
            if cut.code:
                await websocket.send_json(error_frame(cut.code, retry=cut.retry))
        await websocket.send_json({"type": "end", "content": "", "status": status})
        return text

    async def post_async(self, shared: Shared, prepared: tuple[list[dict[str, str]], Any], text: str) -> None:
        if text:  # A failed question without an answer would only confuse the model the next time.
            question = {"role": "user", "content": shared["user_message"]}
            shared["conversation_history"] += [question, {"role": "assistant", "content": text}]
