"""A program of ours in the shape of PocketFlow's own example, pocketflow-fastapi-websocket, which is not on PyPI."""

import json
from typing import Any

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from openai import AsyncOpenAI
from pocketflow import AsyncFlow, AsyncNode

app = FastAPI()


class Reply(AsyncNode):
    async def prep_async(self, shared: dict[str, Any]) -> Any:
        shared["history"].append({"role": "user", "content": shared["message"]})
        return shared["websocket"], shared["history"]

    async def exec_async(self, prepared: Any) -> str:
        websocket, history = prepared
        await websocket.send_text(json.dumps({"type": "start", "content": ""}))
        answer = ""
        client = AsyncOpenAI()
        stream = await client.chat.completions.create(model="gpt-5.4-mini", messages=history, stream=True)
        async for chunk in stream:
            if chunk.choices and (text := chunk.choices[0].delta.content):
                answer += text
                await websocket.send_text(json.dumps({"type": "chunk", "content": text}))
        await websocket.send_text(json.dumps({"type": "end", "content": ""}))
        return answer

    async def post_async(self, shared: dict[str, Any], _: Any, answer: str) -> None:
        shared["history"].append({"role": "assistant", "content": answer})


@app.websocket("/ws")
async def chat(websocket: WebSocket) -> None:
    await websocket.accept()
    shared = {"websocket": websocket, "history": []}
    try:
        while True:
            shared["message"] = json.loads(await websocket.receive_text())["content"]
            await AsyncFlow(start=Reply()).run_async(shared)
    except WebSocketDisconnect:
        pass
