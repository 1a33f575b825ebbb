"""Opening a conversation, however long it is and however slow the network."""

import asyncio

from playwright.async_api import Browser, Route, expect

from tests.browser.page import Chat, chatting, open_tab, person
from tests.support import Server, write_conversation

LINES = "Words that say *something*, and some more that say a little.\n\n" * 20
FIRST_IN_SIGHT = """() => {
  const top = log.getBoundingClientRect().top;
  const turn = [...document.querySelectorAll('.turn')].find((node) => node.getBoundingClientRect().bottom > top);
  return [turn.dataset.id, turn.getBoundingClientRect().top];
}"""
PLACE = "id => document.querySelector(`[data-id=${id}]`).getBoundingClientRect().top"


async def test_e17_500_turns_come_in_pages_without_a_jump(browser: Browser, server: Server) -> None:
    await write_conversation(server, "long", *[(f"Question {n}.", LINES) for n in range(500)])
    async with person(browser) as context:
        await context.add_init_script("localStorage['pocket-chat:open'] = '\"long\"'")
        chat = await open_tab(context, server.url)
        await expect(chat.questions.last).to_have_text("Question 499.")
        await chat.sees("log.scrollHeight - log.clientHeight - log.scrollTop <= 1 && log.scrollTop > 0")
        count = await settled(chat)
        assert count < 500
        while count < 500:
            await chat.page.evaluate("log.scrollTop = 300")
            id, before = await chat.page.evaluate(FIRST_IN_SIGHT)
            await chat.sees("document.querySelectorAll('.turn').length > argument", count)
            count = await settled(chat)
            assert abs(await chat.page.evaluate(PLACE, id) - before) <= 1
        await expect(chat.button("Earlier messages")).to_be_hidden()
        assert await chat.page.evaluate("find('Question 250.', true, false, true)"), (
            "the browser's own search does not find it"
        )
        assert await chat.announced() == []
        assert chat.faults == []


async def test_e18_a_conversation_shows_as_text_before_markdown_has_come(browser: Browser, server: Server) -> None:
    await write_conversation(server, "early", *[("Question", LINES)] * 4)
    may_come = asyncio.Event()

    async def hold(route: Route) -> None:
        await may_come.wait()
        await route.continue_()

    async with person(browser) as context:
        await context.add_init_script("localStorage['pocket-chat:open'] = '\"early\"'")
        await context.route("**/markdown-it*", hold)
        chat = await open_tab(context, server.url)
        await expect(chat.turns).to_have_count(4)
        await expect(chat.last_reply).to_contain_text("Words that say *something*,")
        await expect(chat.prompt).to_be_focused()
        may_come.set()
        await expect(chat.page.locator(".md em")).to_have_count(4 * 20)
        await expect(chat.page.locator(".plain")).to_have_count(0)
        await chat.sees("log.scrollHeight - log.clientHeight - log.scrollTop <= 1")


async def test_e18_the_empty_page_does_not_wait_for_its_scripts(browser: Browser, server: Server) -> None:
    async with chatting(browser, server.url) as chat:
        scripts: list[Route] = []
        await chat.page.route("**/page.js", lambda route: scripts.append(route))
        await chat.page.goto(server.url, wait_until="commit")
        await expect(chat.page.locator("#empty h2")).to_be_visible()
        await scripts[0].continue_()
        await expect(chat.prompt).to_be_focused()
        await expect(chat.page.locator("#empty h2")).to_be_visible()
        await chat.page.evaluate("localStorage['pocket-chat:open'] = '\"c\"'")
        await chat.page.goto(server.url, wait_until="commit")
        await expect(chat.page.locator("#main")).to_be_visible()
        await expect(chat.page.locator("#empty h2")).to_be_hidden()
        await scripts[1].continue_()


async def test_what_is_typed_before_the_scripts_are_there_is_kept(browser: Browser, server: Server) -> None:
    async with chatting(browser, server.url) as chat:
        await chat.prompt.fill("An older draft")
        scripts: list[Route] = []
        await chat.page.route("**/page.js", lambda route: scripts.append(route))
        await chat.page.goto(server.url, wait_until="commit")
        await chat.prompt.fill("Typed early")
        await scripts[0].continue_()
        await expect(chat.prompt).to_have_value("An older draft\n\nTyped early")
        await expect(chat.prompt).to_be_focused()
        await expect(chat.send_button).to_be_enabled()
        await chat.page.unroute("**/page.js")
        await chat.page.reload()
        await expect(chat.prompt).to_have_value("An older draft\n\nTyped early")


async def settled(chat: Chat) -> int:
    """The number of turns, once a page of them is drawn."""
    await chat.page.evaluate(
        """() => new Promise((resolve) => {
          let quiet = 0;
          const observer = new MutationObserver(() => { quiet = 0; });
          observer.observe(document.querySelector('#turns'), { childList: true, subtree: true });
          const look = () => (quiet++ > 20 ? resolve() : requestAnimationFrame(look));
          look();
        })"""
    )
    return await chat.turns.count()
