"""The chat behind a real nginx with deploy/nginx.conf: before one worker or two, at the root or below a path."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urljoin

import pytest
from httpx2 import AsyncClient
from websockets.exceptions import InvalidStatus

from tests.support import FakeOpenAI, Server, eventually
from tests.support.nginx import Nginx
from tests.support.resuming import LEASE, Tab
from tests.support.returning import Returning
from tests.support.telling import begin, questions, tell, telling, text

ALL = 40  # pieces of a whole reply
# The addresses in a page, a manifest, a style sheet and a module.
ADDRESSES = "|".join(
    [
        r'\b(?:href|src|action)="([^"#]+)"',
        r'"(?:src|start_url)": "([^"]+)"',
        r"url\(([^)]+)\)",
        r"(?:from|import) ?\(?'(\.[^']+)'",
    ]
)
KINDS = ("html", "javascript", "css", "manifest")


@pytest.fixture(params=["/", "/chat/"])
async def nginx(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[Nginx]:
    async with Nginx([server], request.param) as nginx:
        yield nginx


async def test_the_page_loads_with_all_its_files(nginx: Nginx) -> None:
    wanted, seen = [nginx.url], set[str]()
    async with AsyncClient() as browser:
        while wanted:
            address = wanted.pop()
            if address in seen:
                continue
            seen.add(address)
            answer = await browser.get(address)
            kind = answer.headers["Content-Type"]
            assert (answer.status_code, address.startswith(nginx.url)) == (200, True), address
            if "/vendor/" not in address and any(each in kind for each in KINDS):
                found = re.findall(ADDRESSES, answer.text)
                wanted += [urljoin(address, "".join(groups)) for groups in found]
    names = {address.removeprefix(nginx.url) for address in seen}
    assert names > {"static/icon.svg", "static/style.css", "static/chat/connection.js", "static/manifest.webmanifest"}
    assert {"vendor/markdown-it/markdown-it.esm.min.mjs", "vendor/speed-highlight/index.js"} <= names


async def test_no_redirect_leads_out_of_the_path(nginx: Nginx) -> None:
    async with AsyncClient() as browser:
        for path in ("static", "static/chat", "vendor/markdown-it", "healthz/", "ws/"):
            assert (await browser.get(nginx.url + path)).status_code == 404, path
        answer = await browser.get(nginx.url[:-1])
        assert nginx.url.endswith(f"{nginx.host}/") or (answer.status_code, answer.headers["Location"]) == (
            301,
            "/chat/",
        )


async def test_metrics_stay_behind_nginx(nginx: Nginx) -> None:
    async with AsyncClient() as stranger:
        answer = await stranger.get(f"{nginx.url}metrics")
    assert (answer.status_code, "nginx" in answer.text) == (404, True)


async def test_the_longest_password_gets_through(nginx: Nginx) -> None:
    async with AsyncClient() as browser:
        answer = await browser.post(nginx.url, content="password=" + "%C3%A9" * 1000)
    # From the server: it has no password here.
    assert (answer.status_code, "nginx" in answer.text) == (405, False)


async def test_one_person_opens_twenty_sockets_and_no_more(nginx: Nginx, openai: FakeOpenAI) -> None:
    openai.says("Fine.")
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(nginx.client()) for _ in range(20)]
        with pytest.raises(InvalidStatus, match="429"):
            await stack.enter_async_context(nginx.client())
        assert (await clients[-1].reply("How are you?")).whole == "Fine."
        async with AsyncClient() as browser:
            assert (await browser.get(nginx.url)).status_code == 200


async def test_a_browser_that_opens_eight_tabs_at_once_gets_all_their_files(server: Server) -> None:
    async with Nginx([server]) as nginx, AsyncClient() as browser:
        wanted = [nginx.url + "static/icon.svg"] * 8 * 55
        answers = await asyncio.gather(*map(browser.get, wanted))
        assert {answer.status_code for answer in answers} == {200}


@asynccontextmanager
async def site(openai: FakeOpenAI, store_url: str) -> AsyncIterator[tuple[Nginx, list[Server]]]:
    """Two workers on one store, and nginx before them."""
    workers = [
        Server(openai.url, STORE_URL=store_url, LEASE_SECONDS=str(LEASE), FORWARDED_ALLOW_IPS="127.0.0.1")
        for _ in range(2)
    ]
    async with AsyncExitStack() as stack:
        await asyncio.gather(*(stack.enter_async_context(worker) for worker in workers))
        nginx = await stack.enter_async_context(Nginx(workers, "/chat/"))
        yield nginx, workers


async def test_a_reply_streams_through_nginx_and_a_reload_goes_on_at_the_other_worker(
    openai: FakeOpenAI, store_url: str
) -> None:
    async with site(openai, store_url) as (nginx, workers), Tab(nginx) as tab:
        # The model holds the rest of its reply back, and what it has said is here.
        id, call = await begin(openai, tab, 1)
        async with Tab(nginx, tab.conversation) as reloaded:
            assert [worker.log.count("[accepted]") for worker in workers] == [1, 1]
            await reloaded.sees(id, text(0, 1))
            await tell(call, 1, ALL)
            await reloaded.sees(id, text(0, ALL))
            await call.finish()
            assert (await reloaded.ended(id)).whole == (await tab.ended(id)).whole == text(0, ALL)
        openai.says("Once", " upon")
        async with nginx.client() as plain:
            assert (await plain.reply("hi")).whole == "Once upon"


async def test_a_killed_workers_reader_finds_the_reply_interrupted_at_the_other(
    openai: FakeOpenAI, store_url: str
) -> None:
    async with site(openai, store_url) as (nginx, workers), Tab(nginx) as tab:
        id, _ = await begin(openai, tab, 5)
        (doomed,) = [worker for worker in workers if "[accepted]" in worker.log]
        doomed.kill()
        assert await tab.close_code() == 1006
        openai.says("Still here.")
        for _ in range(2):  # nginx asks the dead one first, at one of them.
            async with Tab(nginx, tab.conversation) as again:
                turn = await again.ended(id, LEASE + 5)
                assert (turn.answer, turn.status) == (text(0, 5), "interrupted")
                await again.answered("Are you there?")


async def test_a_rolling_restart_loses_no_character_and_asks_nothing_twice(openai: FakeOpenAI, store_url: str) -> None:
    calls = len(openai.calls)
    openai.answers(telling(ALL, 0.02))
    over = asyncio.Event()

    async def chat(page: Returning, name: int) -> list[str]:
        asked: list[str] = []
        while not over.is_set() or not page.losses:
            asked.append(f"Question {len(asked)} of {name}")
            assert (await page.answered(asked[-1])).turn.whole == text(0, ALL)
        await page.leave()
        return asked

    async with site(openai, store_url) as (nginx, workers), asyncio.TaskGroup() as tasks:
        pages = [Returning(nginx) for _ in range(4)]
        chats = [tasks.create_task(chat(page, name)) for name, page in enumerate(pages)]
        assert await eventually(lambda: all(page.seen for page in pages), limit=10)
        for worker in workers:
            worker.terminate()
            await worker.stopped()
            await worker.__aenter__()
        over.set()
    asked = [question for done in chats for question in done.result()]
    assert sorted(questions(openai, calls)) == sorted(asked)
