"""The log follows its end, and never fights the reader."""

import pytest
from playwright.async_api import Page

START = """() => {
    window.log = document.querySelector('#log');
    window.content = document.querySelector('#content');
    log.tabIndex = 0;
    window.grow = (px, where = 'append') => {
        const line = document.createElement('p');
        line.style.cssText = `block-size: ${px}px; margin: 0`;
        content[where](line);
        return line;
    };
    for (let n = 0; n < 40; n++) grow(50);
    window.end = followEnd(log, content);
    window.gap = () => log.scrollHeight - log.clientHeight - log.scrollTop;
    // Between two frames, with a layout at once: its scroll event comes before anything else that tells of it.
    window.between = async change => {
        await frame();
        await new Promise(resolve => setTimeout(resolve));
        change();
        content.getBoundingClientRect();
        await frame();
        await frame();
    };
    window.frames = async (count, step) => {
        const seen = [];
        for (let n = 0; n < count; n++) {
            await frame();
            seen.push(step(n));
        }
        await frame();
        return seen;
    };
}"""


@pytest.fixture
async def log(harness: Page) -> Page:
    await harness.evaluate(START)
    await harness.wait_for_function("() => gap() <= 1")
    await harness.mouse.move(100, 100)
    return harness


async def let_go(log: Page) -> None:
    await log.mouse.wheel(0, -8)
    await log.wait_for_function("() => !end.following && gap() >= 8")


async def test_the_end_is_in_sight_in_every_frame(log: Page) -> None:
    """Also when the log grows by a little or a lot, shrinks, or the room for it does."""
    gaps = await log.evaluate(
        """() => frames(90, n => {
            const seen = gap();
            if (n % 4 === 0) grow(23.4);
            if (n % 4 === 1) grow(900);
            if (n % 4 === 2) content.lastChild.remove();
            if (n % 4 === 3) log.style.blockSize = n % 8 === 3 ? '300px' : '240px';
            return seen;
        })"""
    )
    assert max(gaps) <= 1
    assert await log.evaluate("() => end.following")


async def test_a_reader_above_is_not_moved(log: Page) -> None:
    await log.mouse.wheel(0, -500)
    await log.wait_for_function("() => !end.following && gap() >= 500")
    tops = await log.evaluate("() => frames(60, () => { grow(40); return log.scrollTop; })")
    assert len(set(tops)) == 1


async def test_eight_pixels_up_let_go_for_good(log: Page) -> None:
    await let_go(log)
    tops = await log.evaluate("() => frames(60, () => { grow(1); return log.scrollTop; })")
    assert len(set(tops)) == 1
    assert await log.evaluate("() => [end.following, end.unseen]") == [False, True]


async def test_a_key_lets_go_while_the_reply_streams(log: Page) -> None:
    await log.evaluate("() => { log.focus(); frames(1000, () => grow(10)); }")
    await log.keyboard.press("PageUp")
    await log.wait_for_function("() => !end.following && gap() > 200")


async def test_the_scroll_bar_lets_go(log: Page) -> None:
    tops = await log.evaluate(
        """() => frames(20, n => {
            if (n === 1) log.scrollTop -= 8;
            if (n !== 1) grow(40);
            return log.scrollTop;
        })"""
    )
    assert len(set(tops[1:])) == 1
    assert not await log.evaluate("() => end.following")


async def test_a_finger_lets_go_before_the_log_moves(log: Page) -> None:
    await log.evaluate("() => { log.style.touchAction = 'none'; }")
    session = await log.context.new_cdp_session(log)
    for kind, y in (("touchStart", 100), ("touchMove", 105), ("touchMove", 140), ("touchEnd", None)):
        points = [] if y is None else [{"x": 100, "y": y}]
        await session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    await log.wait_for_function("() => !end.following")


async def test_growth_above_a_reader_moves_nothing(log: Page) -> None:
    await let_go(log)
    places = await log.evaluate(
        """() => {
            const read = [...content.children].at(-3);
            return frames(20, () => {
                const place = read.getBoundingClientRect().top;
                grow(100, 'prepend');
                return place;
            });
        }"""
    )
    assert max(places) - min(places) <= 1
    await log.evaluate("() => between(() => grow(100, 'prepend'))")
    assert not await log.evaluate("() => end.following")


@pytest.mark.parametrize(("short_of_the_end", "follows"), [(100, False), (30, False), (20, True), (0, True)])
async def test_coming_back_to_the_end_holds_on_again(log: Page, short_of_the_end: int, follows: bool) -> None:
    await let_go(log)
    gaps = await log.evaluate(
        """async short => {
            await frames(2, n => { if (!n) grow(400); });
            await frames(2, n => { if (!n) log.scrollTop += gap() - short; });
            return frames(20, () => { const seen = gap(); grow(40); return seen; });
        }""",
        short_of_the_end,
    )
    assert (max(gaps) <= 1) is follows
    assert await log.evaluate("() => end.following") is follows


async def test_the_button_holds_on_again_and_says_so(log: Page) -> None:
    said = await log.evaluate(
        """async () => {
            const said = [];
            window.end = followEnd(log, content, state => said.push(state));
            log.dispatchEvent(new WheelEvent('wheel', { deltaY: -8 }));
            grow(40);
            await frames(2, () => 0);
            end.follow();
            return said;
        }"""
    )
    assert said == [
        {"following": True, "unseen": False},
        {"following": False, "unseen": False},
        {"following": False, "unseen": True},
        {"following": True, "unseen": False},
    ]
    assert await log.evaluate("() => gap()") <= 1


async def test_a_log_that_shrinks_is_not_a_reader_who_moves(log: Page) -> None:
    gaps = await log.evaluate(
        """() => frames(20, n => {
            const seen = gap();
            if (n % 4 === 1) for (let line = 0; line < 6; line++) content.lastChild.remove();
            if (n % 4 === 3) grow(300);
            return seen;
        })"""
    )
    assert max(gaps) <= 1
    await log.evaluate("() => between(() => content.lastChild.remove())")
    assert await log.evaluate("() => end.following && gap() <= 1")


async def test_a_log_with_nothing_to_scroll_goes_on_following(log: Page) -> None:
    await log.evaluate("() => content.replaceChildren()")
    await log.mouse.wheel(0, -8)
    await log.evaluate("() => frames(3, () => 0)")
    assert await log.evaluate("() => end.following")
