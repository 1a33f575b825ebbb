"""What a reply costs the page: `python -m bench.page` prints the CPU time of the main thread, ours and the obvious one.

The obvious page reads the whole reply again for each chunk and replaces all it has drawn. Both get the same text
in chunks of 4 characters, 16,000 characters a second, which is more than models write, with the same parser, nodes and
style sheet, in one run of one browser. With the long reply the obvious page would be busy for minutes: only each
250th chunk is drawn, without layout and paint, and the time is multiplied. So that figure is a lower bound.
"""

import asyncio
import sys

from playwright.async_api import CDPSession, Page, async_playwright

from bench.page_opening import opening, worked
from bench.report import PAGE_COLUMNS, table
from bench.rows import Row
from tests.browser.conftest import ARGUMENTS, chromium
from tests.browser.site import serve

# Characters, and characters a second.
CHUNK = 4
RATE = 16_000

# Of this many chunks of the long reply the obvious page draws one.
STRIDE = 250

# Kilobytes: at most these seconds.
TARGETS = {20: 0.2, 200: 2.3}

PREPARE = """async ([chunk, rate]) => {
    const { toNodes } = await import('/static/markdown/tokens.js');
    const style = document.createElement('link');
    Object.assign(style, { rel: 'stylesheet', href: '/static/style.css' });
    await new Promise(loaded => { style.onload = loaded; document.head.append(style); });
    const root = document.querySelector('#content');
    root.className = 'md';
    followEnd(document.querySelector('#log'), root);

    async function feed(text, draw) {
        const start = performance.now();
        for (let answer = ''; answer.length < text.length;) {
            await new Promise(resolve => setTimeout(resolve));
            const due = Math.min(text.length, (performance.now() - start) / 1000 * rate);
            while (answer.length < due) draw(answer += text.slice(answer.length, answer.length + chunk));
        }
    }
    window.ours = async text => {
        const view = streamMarkdown(root, highlight);
        await feed(text, answer => view.write(answer));
        view.finish(text);
        await frame();
    };
    window.obvious = async text => {
        await feed(text, answer => root.replaceChildren(toNodes(answer, {})));
        await frame();
    };
    window.sample = (text, stride) => {
        for (let length = chunk * stride; length <= text.length; length += chunk * stride) {
            root.replaceChildren(toNodes(text.slice(0, length), {}));
        }
    };
    window.empty = async () => {
        root.replaceChildren();
        await frame();
        await frame();
    };
}"""


async def measure() -> list[Row]:
    """Seconds of the main thread's CPU time for one reply."""
    executable = chromium()
    if executable is None:
        sys.exit("Chromium is not installed")
    async with serve() as site, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        page = await browser.new_page()
        await page.goto(site.url + "/harness.html")
        await page.wait_for_function("() => window.ready")
        await page.evaluate(PREPARE, [CHUNK, RATE])
        session = await page.context.new_cdp_session(page)
        await session.send("Performance.enable", {"timeDomain": "threadTicks"})
        short, long = (text_of(kilobytes) for kilobytes in TARGETS)
        await busy(page, session, "obvious", short[:2000])  # to warm up
        rows = [
            row(20, await busy(page, session, "ours", short), await busy(page, session, "obvious", short)),
            row(
                200,
                await busy(page, session, "ours", long),
                await busy(page, session, "sample", long, STRIDE) * STRIDE,
            ),
        ]
        rows += await opening(browser)
        await browser.close()
    return rows


def row(kilobytes: int, ours: float, obvious: float) -> Row:
    title = f"main thread for a reply of {kilobytes} KB"
    return Row("", title, " s", most=TARGETS[kilobytes], other=[obvious], ours=[ours])


def text_of(kilobytes: int) -> str:
    """A reply as models write them: half prose, a list and a block of code in each section, here and there a table."""
    sentence = (
        "A **bucket** refills at a steady rate, so a burst is fine while `{n}` stays the [limit](https://a.test/{n}). "
    )
    section = (
        "## Step {n}\n\n" + sentence * 5 + "\n\n" + sentence * 4 + "\n\n"
        "- **first**: ask the bucket, which is cheap\n- *then* wait for the model\n- send what it says\n\n"
        "```python\n"
        + "def take_{n}(count: int) -> float:\n    return count / {n}  # seconds to wait\n\n\n" * 8
        + "```\n\n"
    )
    rows = "| limit | burst |\n|---|--:|\n" + "| bucket {n} | {n} |\n" * 5 + "\n"
    length = kilobytes * 1000
    sections = (section.format(n=n) + (rows.format(n=n) if n % 3 == 0 else "") for n in range(1, length // 1000 + 2))
    return "".join(sections)[:length]


async def busy(page: Page, session: CDPSession, function: str, *arguments: str | int) -> float:
    """The CPU seconds that the main thread works for a function: scripts, style, layout and paint."""
    before = await worked(session)
    await page.evaluate(f"given => {function}(...given)", list(arguments))
    seconds = await worked(session) - before
    await page.evaluate("() => empty()")
    return seconds


if __name__ == "__main__":
    print(table(asyncio.run(measure()), *PAGE_COLUMNS))
