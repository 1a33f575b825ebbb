"""The smallest streaming chat in Gradio, as its documentation writes one.

Its default is one reply at a time, for all users together: that limit is lifted.
"""

import os
from collections.abc import AsyncIterator
from typing import Any

import gradio as gr
from openai import AsyncOpenAI

client = AsyncOpenAI()


async def reply(message: str, history: list[Any]) -> AsyncIterator[str]:
    messages = [{"role": turn["role"], "content": turn["content"]} for turn in history]
    messages.append({"role": "user", "content": message})
    stream = await client.chat.completions.create(model="gpt-5.4-mini", messages=messages, stream=True)
    answer = ""
    async for chunk in stream:
        if chunk.choices and (text := chunk.choices[0].delta.content):
            answer += text
            yield answer


gr.ChatInterface(reply, api_name="chat", concurrency_limit=None).launch(server_port=int(os.environ["PORT"]))
