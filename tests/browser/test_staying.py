"""The connection comes and goes; the conversation stays."""

import time

from playwright.async_api import Browser, Page, WebSocketRoute, expect

from tests.browser.page import by_hand, chatting, open_tab, person, restarted, storage
from tests.support import FakeOpenAI, Server

BACK_WITHIN = 5.0


async def test_16_a_server_that_dies_is_waited_for_and_nothing_is_lost_or_doubled(
    browser: Browser, openai: FakeOpenAI
) -> None:
    by_hand(openai)
    async with Server(openai.url, LEASE_SECONDS="1") as server, chatting(browser, server.url) as chat:
        await chat.send("Tell me")
        call = await openai.next_call()
        await call.text("Once upon")
        await expect(chat.last_reply).to_have_text("Once upon")
        await chat.prompt.fill("And then?")
        server.kill()
        await expect(chat.hint).to_have_text("Reconnecting… Your draft is safe.")
        await expect(chat.last_reply).to_have_text("Once upon")
        await restarted(server)
        start = time.monotonic()
        await expect(chat.turn("interrupted").locator(".md")).to_have_text("Once upon")
        assert time.monotonic() - start <= BACK_WITHIN
        await expect(chat.hint).to_have_text("Replies can be wrong; check what matters.")
        await expect(chat.questions).to_have_text(["Tell me"])
        await expect(chat.prompt).to_have_value("And then?")
        assert "Reconnecting" in await chat.heard()
        assert "Connected again" in await chat.heard()


async def test_17_what_is_sent_without_a_connection_is_sent_once_when_it_is_back(
    browser: Browser, openai: FakeOpenAI
) -> None:
    openai.says("Here I am")
    async with Server(openai.url) as server, chatting(browser, server.url) as chat:
        await chat.ask("First")
        server.kill()
        await expect(chat.hint).to_have_text("Reconnecting… Your draft is safe.")
        await chat.send("Second")
        await expect(chat.turn("waiting").locator(".body")).to_have_text("Second")
        await expect(chat.page.get_by_text("Not sent yet.")).to_be_visible()
        await chat.prompt.fill("Third, one day")
        calls = len(openai.calls)
        await restarted(server)
        await expect(chat.turn("done")).to_have_count(2)
        await expect(chat.questions).to_have_text(["First", "Second"])
        await expect(chat.prompt).to_have_value("Third, one day")
        await chat.page.reload()
        await expect(chat.questions).to_have_text(["First", "Second"])
        await expect(chat.prompt).to_have_value("Third, one day")
        assert len(openai.calls) == calls + 1
        assert not [name for name in await storage(chat) if name.startswith("waiting")]


async def test_17_a_message_that_waits_survives_a_reload_also_in_a_new_chat(
    browser: Browser, server: Server, openai: FakeOpenAI
) -> None:
    openai.says("Here I am")
    async with person(browser) as context:
        away = True

        async def unplug(page: Page) -> None:
            async def route(socket: WebSocketRoute) -> None:
                if away:
                    await socket.close(code=1013)
                else:
                    socket.connect_to_server()

            await page.route_web_socket("**/ws", route)

        chat = await open_tab(context, server.url, prepare=unplug)
        await expect(chat.hint).to_have_text("The server is busy. Your draft is safe; trying again soon.")
        await chat.send("Anybody?")
        await chat.page.reload()
        await expect(chat.turn("waiting").locator(".body")).to_have_text("Anybody?")
        away = False
        await expect(chat.turn("done").locator(".body")).to_have_text("Anybody?")


async def test_17_a_message_that_waits_can_be_taken_back(browser: Browser, openai: FakeOpenAI) -> None:
    async with Server(openai.url) as server, chatting(browser, server.url) as chat:
        await chat.sees("document.querySelector('#model').textContent")
        server.kill()
        await expect(chat.hint).to_have_text("Reconnecting… Your draft is safe.")
        await chat.send("Never mind")
        await chat.stop_button.click()
        await expect(chat.turns).to_have_count(0)
        await expect(chat.prompt).to_have_value("Never mind")


async def test_18_a_refusal_is_said_and_never_retried(browser: Browser, server: Server) -> None:
    sockets = 0

    async def refuse(page: Page) -> None:
        async def route(socket: WebSocketRoute) -> None:
            nonlocal sockets
            sockets += 1
            await socket.close(code=1008)

        await page.clock.install()
        await page.route_web_socket("**/ws", route)

    async with person(browser) as context:
        chat = await open_tab(context, server.url, prepare=refuse)
        await expect(chat.hint).to_have_text("The server refused the connection. Reload the page to try again.")
        await expect(chat.page.locator("#alarm")).to_have_text("The server refused the connection.")
        await chat.page.clock.fast_forward("05:00")
        await chat.page.evaluate("dispatchEvent(new Event('online'))")
        assert sockets == 1


async def test_19_a_silent_socket_is_replaced(browser: Browser, server: Server, openai: FakeOpenAI) -> None:
    openai.says("Still here")
    sockets: list[WebSocketRoute] = []
    first_is_dead = False

    async def listen(page: Page) -> None:
        def route(socket: WebSocketRoute) -> None:
            def hear(frame: str | bytes) -> None:
                if socket is not sockets[0] or not first_is_dead:
                    socket.send(frame)

            sockets.append(socket)
            socket.connect_to_server().on_message(hear)

        await page.clock.install()
        await page.route_web_socket("**/ws", route)

    async with person(browser) as context:
        chat = await open_tab(context, server.url, prepare=listen)
        await chat.ask("Hello?")
        first_is_dead = True
        await chat.send("Are you there?")
        await chat.page.clock.fast_forward("00:44")
        assert len(sockets) == 1
        await chat.page.clock.fast_forward("00:02")
        await chat.page.clock.run_for(1000)
        await expect(chat.turn("done")).to_have_count(2)
        assert len(sockets) == 2


async def test_20_back_and_forward_come_back_to_the_conversation(
    browser: Browser, server: Server, openai: FakeOpenAI
) -> None:
    openai.says("Good to see you")
    async with chatting(browser, server.url) as chat:
        await chat.ask("Hello")
        await chat.prompt.fill("A draft")
        await chat.page.goto("about:blank")
        await chat.page.go_back()
        await expect(chat.last_reply).to_have_text("Good to see you")
        await expect(chat.prompt).to_have_value("A draft")


async def test_20_a_page_that_rests_in_the_cache_has_no_socket_and_wakes_with_a_new_one(
    browser: Browser, server: Server, openai: FakeOpenAI
) -> None:
    by_hand(openai)
    async with chatting(browser, server.url) as chat:
        await chat.send("Go on without me")
        call = await openai.next_call()
        await call.text("I go")
        await expect(chat.last_reply).to_have_text("I go")
        await chat.page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
        await call.text(" on")
        await call.finish()
        async with chat.page.expect_websocket():
            await chat.page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
        await expect(chat.turn("done").locator(".md")).to_have_text("I go on")
        assert await chat.heard() == ["Assistant is replying", "Reply complete"]


async def test_21_two_tabs_show_the_same(browser: Browser, server: Server, openai: FakeOpenAI) -> None:
    by_hand(openai)
    async with person(browser) as context:
        one = await open_tab(context, server.url)
        await one.send("Hello")
        call = await openai.next_call()
        await call.text("Hello, ")
        two = await open_tab(context, server.url)
        await expect(two.last_reply).to_have_text("Hello,")
        await call.text("both")
        await expect(two.last_reply).to_have_text("Hello, both")
        await call.finish()
        await expect(two.turn("done")).to_have_count(1)
        await expect(one.turn("done")).to_have_count(1)
        assert await one.last_reply.inner_html() == await two.last_reply.inner_html()
        openai.says("Fine")
        await two.ask("How are you?")
        await expect(one.questions).to_have_text(["Hello", "How are you?"])
        await expect(one.turn("done")).to_have_count(2)


async def test_22_a_reload_goes_on_with_the_reply_and_the_draft(
    browser: Browser, server: Server, openai: FakeOpenAI
) -> None:
    by_hand(openai)
    async with chatting(browser, server.url) as chat:
        await chat.send("Count")
        call = await openai.next_call()
        await call.text("One,")
        await expect(chat.last_reply).to_have_text("One,")
        await chat.prompt.fill("A draft\nof two lines")
        await chat.page.reload()
        await expect(chat.last_reply).to_have_text("One,")
        await expect(chat.prompt).to_have_value("A draft\nof two lines")
        await call.text(" two")
        await expect(chat.last_reply).to_have_text("One, two")
        await chat.stop_button.click()
        await expect(chat.turn("stopped").locator(".md")).to_have_text("One, two")
        await expect(chat.questions).to_have_text(["Count"])


async def test_a_stop_without_a_connection_stops_the_reply_when_it_is_back(
    browser: Browser, server: Server, openai: FakeOpenAI
) -> None:
    by_hand(openai)
    sockets: list[WebSocketRoute] = []
    back = False
    async with person(browser) as context:

        async def listen(page: Page) -> None:
            async def route(socket: WebSocketRoute) -> None:
                sockets.append(socket)
                if len(sockets) == 1 or back:
                    socket.connect_to_server()
                else:
                    await socket.close(code=1013)

            await page.route_web_socket("**/ws", route)

        chat = await open_tab(context, server.url, prepare=listen)
        await chat.send("Go on for ever")
        call = await openai.next_call()
        await call.text("And on")
        await expect(chat.last_reply).to_have_text("And on")
        await sockets[0].close(code=1012)
        await expect(chat.hint).to_contain_text("busy")
        await chat.stop_button.click()
        back = True
        await expect(chat.turn("stopped")).to_have_count(1)
        await call.closed()
