"""The yardstick: the program that one writes first. Run as `uvicorn bench.naive:app`, with uvicorn's defaults."""

import json
from typing import Any

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse
from openai import AsyncOpenAI

app = FastAPI()


@app.get("/")
async def page() -> HTMLResponse:
    return HTMLResponse("<!doctype html><title>Chat</title>")


@app.websocket("/ws")
async def chat(websocket: WebSocket) -> None:
    await websocket.accept()
    history: list[Any] = []
    try:
        while True:
            message = json.loads(await websocket.receive_text())
            history.append({"role": "user", "content": message["content"]})
            await websocket.send_text(json.dumps({"type": "start", "content": ""}))
            answer = ""
            client = AsyncOpenAI()
            stream = await client.chat.completions.create(model="gpt-5.4-mini", messages=history, stream=True)
            async for chunk in stream:
                if chunk.choices and (text := chunk.choices[0].delta.content):
                    answer += text
                    await websocket.send_text(json.dumps({"type": "chunk", "content": text}))
            await websocket.send_text(json.dumps({"type": "end", "content": ""}))
            history.append({"role": "assistant", "content": answer})
    except WebSocketDisconnect:
        pass
