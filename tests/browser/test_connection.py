"""The connection comes and goes; the conversation stays."""

import time

from playwright.async_api import Browser, Route, expect

from tests.browser.page import Chat, chatting, open_tab, person, restarted, storage, with_sockets
from tests.support import FakeOpenAI, Server

BACK_WITHIN = 5.0
RECONNECTING = "Reconnecting… Your draft is safe."


async def test_16_a_killed_server_costs_no_text_and_doubles_none(browser: Browser, openai: FakeOpenAI) -> None:
    async with Server(openai.url, LEASE_SECONDS="1") as server, chatting(browser, server.url) as chat:
        await chat.start(openai, "Tell me", "Once upon")
        await chat.prompt.fill("And then?")
        server.kill()
        await expect(chat.hint).to_have_text(RECONNECTING)
        await expect(chat.last_reply).to_have_text("Once upon")
        await restarted(server)
        start = time.monotonic()
        await expect(chat.turn("interrupted").locator(".md")).to_have_text("Once upon")
        assert time.monotonic() - start <= BACK_WITHIN
        await expect(chat.hint).to_have_text("Replies can be wrong. Check what matters.")
        await expect(chat.questions).to_have_text(["Tell me"])
        await expect(chat.prompt).to_have_value("And then?")
        assert "Reconnecting" in await chat.announced()
        assert "Back online" in await chat.announced()


async def test_17_a_message_sent_offline_is_sent_once_after_the_reconnect(browser: Browser, openai: FakeOpenAI) -> None:
    openai.says("Here I am")
    async with Server(openai.url) as server, chatting(browser, server.url) as chat:
        await chat.ask("First")
        server.kill()
        await expect(chat.hint).to_have_text(RECONNECTING)
        await chat.send("Second")
        await expect(chat.turn("waiting").locator(".body")).to_have_text("Second")
        await expect(chat.page.get_by_text("Not sent yet. It will be sent when you are back online.")).to_be_visible()
        await chat.prompt.fill("Third, one day")
        calls = len(openai.calls)
        await restarted(server)
        await expect(chat.turn("done")).to_have_count(2)
        for _ in range(2):
            await expect(chat.questions).to_have_text(["First", "Second"])
            await expect(chat.prompt).to_have_value("Third, one day")
            await chat.page.reload()
        assert len(openai.calls) == calls + 1
        assert not [name for name in await storage(chat) if name.startswith("waiting")]


async def test_17_a_waiting_message_survives_a_reload(browser: Browser, server: Server, openai: FakeOpenAI) -> None:
    openai.says("Here I am")
    async with with_sockets(browser, close_code=1013) as (context, sockets):
        chat = await open_tab(context, server.url)
        await expect(chat.hint).to_have_text("The server is busy. Your draft is safe. Trying again soon.")
        await chat.send("Anybody?")
        await chat.page.reload()
        await expect(chat.turn("waiting").locator(".body")).to_have_text("Anybody?")
        sockets.close_code = None
        await expect(chat.turn("done").locator(".body")).to_have_text("Anybody?")


async def test_17_a_waiting_message_can_be_withdrawn(browser: Browser, openai: FakeOpenAI) -> None:
    async with Server(openai.url) as server, chatting(browser, server.url) as chat:
        await chat.sees("document.querySelector('#model').textContent")
        server.kill()
        await chat.send("Never mind")
        await expect(chat.hint).to_have_text(RECONNECTING)
        await expect(chat.page.get_by_text("Not sent yet.")).to_be_visible()
        await chat.stop_button.click()
        await expect(chat.turns).to_have_count(0)
        await expect(chat.prompt).to_have_value("Never mind")


async def test_a_menu_that_cannot_be_loaded_says_so(browser: Browser, server: Server, openai: FakeOpenAI) -> None:
    openai.says("Fine")
    async with person(browser) as context:
        await context.route("**/menu.js", lambda route: route.abort("connectionrefused"))
        chat = await open_tab(context, server.url)
        await chat.ask("Hello")
        for name in ("Copy as Markdown", "Save as Markdown", "Open on another device…"):
            await chat.page.evaluate("document.querySelector('#toast').textContent = ''")
            await chat.button("Conversation menu").click()
            await chat.button(name).click()
            await expect(chat.page.locator("#toast")).to_contain_text("could not be loaded. Reload the page")
        await expect(chat.page.locator("#alarm")).to_contain_text("could not be loaded.")
        assert chat.faults == []


async def test_18_a_refusal_is_shown_and_never_retried(browser: Browser, server: Server) -> None:
    async with with_sockets(browser, close_code=1008) as (context, sockets):
        chat = await open_tab(context, server.url)
        await expect(chat.hint).to_have_text("The server refused the connection. Reload the page to try again.")
        await expect(chat.page.locator("#alarm")).to_have_text("The server refused the connection.")
        await chat.page.clock.fast_forward("05:00")
        await chat.page.evaluate("dispatchEvent(new Event('online'))")
        assert len(sockets.all) == 1


async def test_18_a_refusal_before_the_page_is_ready_is_announced(browser: Browser, server: Server) -> None:
    async with with_sockets(browser, close_code=1008) as (context, _):
        scripts: list[Route] = []
        await context.route("**/page.js", lambda route: scripts.append(route))
        page = await context.new_page()
        await page.goto(server.url, wait_until="commit")
        await page.wait_for_function(
            "async () => (await import('/static/chat/session.js')).session.state.network === 'refused'"
        )
        await scripts[0].continue_()
        await expect(page.locator("#alarm")).to_have_text("The server refused the connection.")


async def test_19_a_silent_socket_is_replaced(browser: Browser, server: Server, openai: FakeOpenAI) -> None:
    openai.says("Still here")
    async with with_sockets(browser) as (context, sockets):
        chat = await open_tab(context, server.url)
        await chat.ask("Hello?")
        sockets.dead = sockets.all[0]
        await chat.send("Are you there?")
        await chat.page.clock.fast_forward("00:44")
        assert len(sockets.all) == 1
        await chat.page.clock.fast_forward("00:02")
        await chat.page.clock.run_for(1000)
        await expect(chat.turn("done")).to_have_count(2)
        assert len(sockets.all) == 2


async def test_19_a_new_network_or_a_wake_up_reconnects(browser: Browser, server: Server, openai: FakeOpenAI) -> None:
    openai.says("Still here")
    async with with_sockets(browser) as (context, sockets):
        chat = await open_tab(context, server.url)
        await chat.ask("Hello?")
        for event, count in [("visibilitychange", 1), ("online", 2), ("visibilitychange", 3)]:
            if count == 3:
                # Without a tick of any timer, as after a sleep.
                await chat.page.clock.set_system_time("2100-01-01")
            await chat.page.evaluate(f"document.dispatchEvent(new Event('{event}', {{ bubbles: true }}))")
            await chat.ask("Are you there?")
            assert len(sockets.all) == count


async def test_20_back_and_forward_come_back_to_the_conversation(chat: Chat, openai: FakeOpenAI) -> None:
    openai.says("Good to see you")
    await chat.ask("Hello")
    await chat.prompt.fill("A draft")
    await chat.page.goto("about:blank")
    await chat.page.go_back()
    await expect(chat.last_reply).to_have_text("Good to see you")
    await expect(chat.prompt).to_have_value("A draft")


async def test_20_a_page_in_the_cache_has_no_socket_and_wakes_with_a_new_one(chat: Chat, openai: FakeOpenAI) -> None:
    call = await chat.start(openai, "Go on without me", "I go")
    await chat.page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    await call.text(" on")
    await call.finish()
    async with chat.page.expect_websocket():
        await chat.page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    await expect(chat.turn("done").locator(".md")).to_have_text("I go on")
    assert await chat.announced() == ["Assistant is replying", "Reply complete"]


async def test_21_two_tabs_show_the_same(browser: Browser, server: Server, openai: FakeOpenAI) -> None:
    async with person(browser) as context:
        one = await open_tab(context, server.url)
        call = await one.start(openai, "Hello", "Hello, ")
        two = await open_tab(context, server.url)
        await expect(two.last_reply).to_have_text("Hello,")
        await call.text("both")
        await expect(two.last_reply).to_have_text("Hello, both")
        await two.finish(call)
        await expect(one.turn("done")).to_have_count(1)
        assert await one.last_reply.inner_html() == await two.last_reply.inner_html()
        openai.says("Fine")
        await two.ask("How are you?")
        await expect(one.questions).to_have_text(["Hello", "How are you?"])
        await expect(one.turn("done")).to_have_count(2)


async def test_22_after_a_reload_the_reply_and_the_draft_go_on(chat: Chat, openai: FakeOpenAI) -> None:
    call = await chat.start(openai, "Count", "One,")
    await chat.prompt.fill("A draft\nof two lines")
    await chat.page.reload()
    await expect(chat.last_reply).to_have_text("One,")
    await expect(chat.prompt).to_have_value("A draft\nof two lines")
    await call.text(" two")
    await expect(chat.last_reply).to_have_text("One, two")
    await chat.stop_button.click()
    await expect(chat.turn("stopped").locator(".md")).to_have_text("One, two")
    await expect(chat.questions).to_have_text(["Count"])


async def test_a_stop_without_a_connection_is_sent_later(browser: Browser, server: Server, openai: FakeOpenAI) -> None:
    async with with_sockets(browser) as (context, sockets):
        chat = await open_tab(context, server.url)
        call = await chat.start(openai, "Go on and on", "And on")
        sockets.close_code = 1013
        await sockets.all[0].close(code=1001)
        await expect(chat.hint).to_contain_text("busy")
        await chat.stop_button.click()
        sockets.close_code = None
        await expect(chat.turn("stopped")).to_have_count(1)
        await call.closed()
