"""The programs that are compared: where each is, how it is run, and what has to be installed for it."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.process import Program
from tests.support.server import ROOT

VENVS = ROOT / ".venv-peers"
APPS = ROOT / "bench/peers"
OPENAI = "openai>=3.54,<4"


@dataclass(frozen=True)
class Peer:
    """`command` is what its documentation says to run, after `python`, with APP, FOLDER and PORT in their places."""

    package: str
    app: str
    requirements: tuple[str, ...]
    command: str


PEERS = {
    "PocketFlow": Peer(
        "pocketflow",
        "pocketflow_app.py",
        ("pocketflow>=0.0.3,<0.1", "fastapi>=0.165,<1", "uvicorn[standard]>=0.54,<1", OPENAI),
        "-m uvicorn --app-dir FOLDER pocketflow_app:app --port PORT",
    ),
    "Chainlit": Peer(
        "chainlit",
        "chainlit_app.py",
        ("chainlit>=2.12,<3", OPENAI),
        "-m chainlit run APP --headless --host 127.0.0.1 --port PORT",
    ),
    "Gradio": Peer("gradio", "gradio_app.py", ("gradio>=6.31,<7", OPENAI), "-P APP"),
    "NiceGUI": Peer("nicegui", "nicegui_app.py", ("nicegui>=3.18,<4", OPENAI), "-P APP"),
}
OURS = {"ours": "main.py", "naive": "-m uvicorn bench.naive:app --port PORT"}
PROGRAMS = (*OURS, *PEERS)


def python_of(name: str) -> Path:
    return VENVS / name / "bin/python"


def install(name: str) -> None:
    """An environment of its own for a peer, anew when its requirements have changed."""
    peer = PEERS[name]
    wanted = "\n".join(peer.requirements)
    installed = VENVS / name / "installed.txt"
    if installed.exists() and installed.read_text() == wanted:
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENVS / name)], check=True)
    pip = [str(python_of(name)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *peer.requirements], check=True)
    installed.write_text(wanted)


def version(name: str) -> str:
    """The version that was installed; ours is what is here."""
    if name in OURS:
        return ""
    code = f"from importlib.metadata import version; print(version('{PEERS[name].package}'))"
    done = subprocess.run([python_of(name), "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def lines(name: str) -> int:
    """The lines of the server's program that are not empty."""
    files = {
        "ours": [*ROOT.glob("*.py"), *ROOT.glob("chat/*.py"), *ROOT.glob("utils/*.py")],
        "naive": [ROOT / "bench/naive.py"],
    }
    of = files[name] if name in files else [APPS / PEERS[name].app]
    return sum(1 for file in of for line in file.read_text().splitlines() if line.strip())


def running(name: str, openai_port: int, home: str, **settings: str) -> Program:
    """`async with` starts it; a peer in `home`, where it may leave what it likes."""
    if name in OURS:
        command = OURS[name]
    else:
        # Program divides this at its spaces: none may be in the path of this repository.
        arguments = PEERS[name].command.replace("APP", str(APPS / PEERS[name].app)).replace("FOLDER", str(APPS))
        command = f"bench/peers/run.py {python_of(name)} {arguments}"
    limits = {"MAX_CONNECTIONS": "100000", "MAX_REPLIES": "100000"}
    all_settings: dict[str, Any] = {"HOME": home, "GRADIO_ANALYTICS_ENABLED": "False"} | limits | settings
    return Program(f"http://127.0.0.1:{openai_port}/v1", program=command, PYTHONWARNINGS=None, **all_settings)
