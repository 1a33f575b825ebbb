"""The page below a path, behind nginx."""

from playwright.async_api import Browser, expect

from tests.browser.page import open_tab, person
from tests.support import FakeOpenAI, Server
from tests.support.nginx import Nginx

REPLY = "# A title\n\n```python\nprint(42)\n```\n"


async def test_e07_below_a_path_the_page_works_as_at_the_root(
    browser: Browser, server: Server, openai: FakeOpenAI
) -> None:
    openai.says(REPLY)
    async with Nginx([server], "/chat/") as nginx, person(browser) as context:
        chat = await open_tab(context, nginx.url.removesuffix("/"))
        await chat.ask("Show code")
        await expect(chat.last_reply.locator("h1")).to_have_text("A title")
        await chat.sees("CSS.highlights.size > 0")
        assert chat.page.url == nginx.url
        await chat.button("Dark", exact=True).click()
        await chat.page.reload()
        await expect(chat.turn("done")).to_have_count(1)
        await expect(chat.page.locator("html")).to_have_attribute("data-theme", "dark")
        assert chat.faults == []


async def test_e07_two_chats_of_one_host_share_nothing_in_the_browser(
    browser: Browser, server: Server, openai: FakeOpenAI
) -> None:
    openai.says("Fine.")
    async with Nginx([server], "/chat/") as nginx, person(browser) as context:
        # The other chat has the same files and the same storage.
        await context.route(
            "**/other/**", lambda route: route.continue_(url=route.request.url.replace("/other/", "/chat/"))
        )
        await context.route_web_socket("**/other/ws", lambda socket: None)
        chat = await open_tab(context, nginx.url)
        await chat.ask("Where am I?")
        other = await open_tab(context, nginx.url.replace("/chat/", "/other/"))
        await expect(other.page.locator("#empty")).to_be_visible()
        await expect(chat.past).to_have_count(1)
        await expect(other.past).to_have_count(0)
        names = await chat.page.evaluate("Object.keys({ ...localStorage, ...sessionStorage })")
        assert [name for name in names if not name.startswith("pocket-chat/chat:")] == []
        assert chat.faults == other.faults == []
