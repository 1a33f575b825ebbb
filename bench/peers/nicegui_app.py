"""The smallest streaming chat in NiceGUI, as its documentation writes one."""

import os
from typing import Any

from nicegui import ui
from openai import AsyncOpenAI

client = AsyncOpenAI()


@ui.page("/")
def chat() -> None:
    history: list[Any] = []

    async def send() -> None:
        question = field.value
        field.value = ""
        history.append({"role": "user", "content": question})
        with messages:
            ui.chat_message(question, name="You", sent=True)
            with ui.chat_message(name="Model"):
                answer = ui.markdown()
        stream = await client.chat.completions.create(model="gpt-5.4-mini", messages=history, stream=True)
        async for chunk in stream:
            if chunk.choices and (text := chunk.choices[0].delta.content):
                answer.content += text
        history.append({"role": "assistant", "content": answer.content})

    messages = ui.column()
    field = ui.input(placeholder="Message").on("keydown.enter", send)


ui.run(host="127.0.0.1", port=int(os.environ["PORT"]), show=False, reload=False)
