"""What the peers' protocols carry: pure functions over bytes, with no more parsing than counting needs."""

import html
import json
import re
from dataclasses import dataclass

from bench.websocket import STAMP

# A server-sent event. One HTTP chunk holds whole events, so chunk sizes stand between them and never inside.
EVENT = re.compile(rb"data: (.*?)\r?\n\r?\n", re.DOTALL)
# Socket.IO: an event, without an acknowledgement or a namespace.
NAME = re.compile(rb'42\["(\w+)"')


class Stamps:
    """Finds each token once, whether updates carry the new text, the whole text so far or the whole conversation."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def new(self, payload: bytes) -> list[int]:
        """The times of departure that have not been seen before, in ns."""
        new = {int(stamp) for stamp in STAMP.findall(payload)} - self._seen
        self._seen |= new
        return sorted(new)


def events(data: bytes) -> tuple[list[bytes], bytes]:
    """The server-sent events that are complete, and the bytes after them."""
    found = list(EVENT.finditer(data))
    rest = data[found[-1].end() :] if found else data
    return [event[1] for event in found], rest


def event_name(packet: bytes) -> str:
    """The name of a Socket.IO event; nothing for any other packet."""
    name = NAME.match(packet)
    return name[1].decode() if name else ""


@dataclass(frozen=True)
class Listener:
    """Something that a NiceGUI page may send: an event of an element."""

    element: int
    listener: str


@dataclass(frozen=True)
class NiceGUIPage:
    """What NiceGUI's script reads from its page: who this is, and what the one input field listens to."""

    client: str
    value: Listener
    enter: Listener


def nicegui_page(page: str) -> NiceGUIPage:
    """Raises AttributeError or KeyError for a page of another shape."""
    elements = re.search(r"parseElements\(String\.raw`(.*?)`\)", page, re.DOTALL)
    client = re.search(r"['\"]client_id['\"]: ['\"]([^'\"]+)", page)
    assert elements, "the page has no elements"
    assert client, "the page has no client_id"
    listeners = {
        event["type"]: Listener(int(number), event["listener_id"])
        for number, element in json.loads(html.unescape(elements[1])).items()
        for event in element.get("events", [])
    }
    return NiceGUIPage(client[1], listeners["update:value"], listeners["keydown"])
