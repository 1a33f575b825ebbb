"""bench.load with the client that speaks a peer's protocol: `python -m bench.peers.load Chainlit`."""

import asyncio
import sys

from bench import load
from bench.peers.gradio_http import Gradio
from bench.peers.socket_io import Chainlit, NiceGUI

CLIENTS = {"Chainlit": Chainlit, "Gradio": Gradio, "NiceGUI": NiceGUI}

if __name__ == "__main__":
    # The other programs speak the protocol of bench.load, which takes its client from here.
    if client := CLIENTS.get(sys.argv[1]):
        vars(load)["Socket"] = client
    asyncio.run(load.main())
