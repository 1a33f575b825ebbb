"""`python -m bench.local_model [seed]` asks the local model 20 questions, with its settings of 1.0.0 and with today's.

It prints the tables of docs/local-model.md, then every answer, for somebody to judge. A minute or two.
"""

import asyncio
import re
import sys
import time
from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass, replace

from utils.openai_client import Model
from utils.openai_stream import Completion
from utils.settings import Settings

# Each line is one conversation. After a question, what a right answer contains; some have none.
CONVERSATIONS: list[list[tuple[str, str]]] = [
    [("capital of France?", "paris"), ("And of Italy?", "rome")],
    [("Hello!", "")],
    [("Who are you?", "")],
    [("What is 7 plus 5?", "12|twelve")],
    [("How many days are there in a week?", "7|seven")],
    [("Who wrote Romeo and Juliet?", "shakespeare")],
    [("What is photosynthesis?", "light"), ("Say that in one sentence.", "light")],
    [("Write a haiku about the sea.", "")],
    [("Tell me a joke.", "")],
    [("Name three fruits.", ""), ("Which of them is yellow?", "bananas?|lemons?")],
    [("Why is the sky blue?", "scatter(ing|ed|s)?")],
    [('How do you say "good morning" in French?', "bonjour")],
    [("How do I boil an egg?", "boil(ing|ed|s)?")],
    [("Write a Python function that adds two numbers.", "return")],
    [("My name is Anna. I live in Oslo.", ""), ("What is my name?", "anna")],
    [("Tell me a very long story about the sea.", "")],
]

# What 1.0.0 set; its system prompt was that of the model's chat template.
BEFORE = Settings(
    system_prompt="You are a helpful AI assistant named SmolLM, trained by Hugging Face",
    openai_parameters={
        "max_tokens": 1000,
        "temperature": 0.2,
        "top_p": 0.9,
        "repeat_penalty": 1.1,
        "dry_multiplier": 0,
    },
)
AFTER = Settings()

# An answer loops if it has the same words in a row this often.
LOOP_WORDS = 4
LOOP_TIMES = 4


@dataclass
class Answer:
    """One answer, and what can be said of it without a reader."""

    question: str
    wanted: str
    text: str
    finish: str
    tokens: int
    seconds: float

    @property
    def has_it(self) -> bool:
        """Whether it contains what was wanted; the rest of it may still be wrong."""
        return bool(re.search(rf"\b({self.wanted})\b", self.text.lower()))

    @property
    def loops(self) -> bool:
        words = self.text.lower().split()
        runs = zip(*(words[start:] for start in range(LOOP_WORDS)), strict=False)
        return max(Counter(runs).values(), default=0) >= LOOP_TIMES

    @property
    def cells(self) -> str:
        has_it = ("yes" if self.has_it else "no") if self.wanted else ""
        ending = "loops" if self.loops else "cut" if self.finish == "length" else ""
        return f"{self.tokens} | {self.seconds:.1f} | {has_it} | {ending}"


async def ask_all(settings: Settings, seed: int) -> list[Answer]:
    # Without the cache an answer does not depend on the conversations before it.
    repeatable = {"seed": seed, "cache_prompt": False, "stream_options": {"include_usage": True}}
    parameters = {**settings.openai_parameters, **repeatable}
    model = Model(replace(settings, openai_parameters=parameters))
    if not model.client:
        sys.exit("pip install --no-deps -r requirements-local.txt")
    answers = []
    async with model.client:
        for conversation in CONVERSATIONS:
            messages: list[dict[str, str]] = []
            for question, wanted in conversation:
                messages.append({"role": "user", "content": question})
                answer = await _ask(model, messages, question, wanted)
                messages.append({"role": "assistant", "content": answer.text})
                answers.append(answer)
    return answers


async def _ask(model: Model, messages: list[dict[str, str]], question: str, wanted: str) -> Answer:
    began = time.monotonic()
    text = ""
    async with asyncio.timeout(300):
        response = await model.request(messages)
        completion = Completion(response.headers["content-type"])
        async with aclosing(response):
            async for packet in response.aiter_bytes():
                text += "".join(completion.feed(packet))
    seconds = time.monotonic() - began
    return Answer(question, wanted, text, completion.finish, completion.tokens["output"], seconds)


def table(before: list[Answer], after: list[Answer]) -> str:
    lines = [
        "| question | before: tokens | s | right word | | after: tokens | s | right word | |",
        "|---|---:|---:|---|---|---:|---:|---|---|",
    ]
    lines += [f"| {old.question} | {old.cells} | {new.cells} |" for old, new in zip(before, after, strict=True)]
    lines.append(f"| **together** | {_sums(before)} | {_sums(after)} |")
    return "\n".join(lines)


def _sums(answers: list[Answer]) -> str:
    tokens = sum(answer.tokens for answer in answers)
    seconds = sum(answer.seconds for answer in answers)
    wanted = [answer for answer in answers if answer.wanted]
    has_it = sum(answer.has_it for answer in wanted)
    loops = sum(answer.loops for answer in answers)
    cut = sum(answer.finish == "length" for answer in answers)
    return f"{tokens} | {seconds:.0f} | {has_it} of {len(wanted)} | {loops} loop, {cut} cut"


async def main() -> None:
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    before = await ask_all(BEFORE, seed)
    after = await ask_all(AFTER, seed)
    print(table(before, after))
    for old, new in zip(before, after, strict=True):
        print(f"\n## {new.question}\n\nBefore: {old.text}\n\nAfter: {new.text}")


if __name__ == "__main__":
    asyncio.run(main())
