"""Becomes a peer, in its own environment and in the folder HOME: `python -m bench.peers.run Chainlit 8000`."""

import os
import sys

from bench.peers.programs import APPS, PEERS, python_of


def become(name: str, port: str) -> None:
    peer = PEERS[name]
    places = {"APP": str(APPS / peer.app), "FOLDER": str(APPS), "PORT": port}
    command = [places.get(word, word) for word in peer.command.split()]
    os.chdir(os.environ["HOME"])
    os.environ.update(GRADIO_ANALYTICS_ENABLED="False", GRADIO_SERVER_PORT=port)
    os.execv(python_of(name), [str(python_of(name)), *command])


if __name__ == "__main__":
    become(sys.argv[1], sys.argv[2])
