"""The smallest streaming chat in Chainlit, as its documentation writes one."""

import chainlit as cl
from openai import AsyncOpenAI

client = AsyncOpenAI()


@cl.on_message
async def reply(_: cl.Message) -> None:
    history = cl.chat_context.to_openai()
    answer = cl.Message(content="")
    stream = await client.chat.completions.create(model="gpt-5.4-mini", messages=history, stream=True)
    async for chunk in stream:
        if chunk.choices and (text := chunk.choices[0].delta.content):
            await answer.stream_token(text)
    await answer.update()
