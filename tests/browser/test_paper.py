"""The conversation on paper."""

from playwright.async_api import Browser, expect

from tests.browser.page import open_tab, person
from tests.support import Server, write_conversation

ANSWER = "\n\n".join(
    [
        "# Title\n\nText with `code`.",
        f"```python\n{'x = 1 + ' * 60}\n{'y = 2' + chr(10) * 40}\n```",
        "|" + "a longer cell|" * 12 + "\n|" + "-|" * 12 + "\n|" + "words|" * 12,
        "A paragraph that is long enough to take several lines on paper. " * 40,
    ]
)
SEEN = """() => {
  const shows = (selector) => [...document.querySelectorAll(selector)].filter((node) => node.checkVisibility());
  const cut = shows('pre, .tbl, .log, body').filter((node) => node.scrollWidth > node.clientWidth + 1);
  const label = (node) => getComputedStyle(node, '::before').content;
  return {
    controls: shows('button, textarea, aside, .dock, dialog, .menu').length,
    cut: cut.map((node) => node.className || node.nodeName),
    labels: shows('.you, .bot').map(label),
    text: getComputedStyle(document.querySelector('.md p')).color,
    code: getComputedStyle(document.querySelector('.code')).backgroundColor,
    indents: shows('.you .body').map((node) => node.getBoundingClientRect().left - log.getBoundingClientRect().left),
    skipped: shows('.turn').filter((node) => getComputedStyle(node).contentVisibility !== 'visible').length,
  };
}"""


async def test_e06_paper_is_light_and_whole_and_says_who_said_what(browser: Browser, server: Server) -> None:
    questions = ["Question 0", "Question 1", "Question 2", "Question 3", "A line\n" * 30]
    await write_conversation(server, "c", *[(question, ANSWER) for question in questions])
    async with person(browser, color_scheme="dark") as context:
        chat = await open_tab(context, f"{server.url}/#conversation=c")
        await expect(chat.turn("done").locator(".code")).to_have_count(5)
        await chat.button("Dark").click()
        await chat.page.emulate_media(media="print", color_scheme="dark")
        seen = await chat.page.evaluate(SEEN)
        assert seen.pop("labels") == ['"You"', '"Assistant"'] * 5
        assert seen.pop("text").startswith("oklch(0.26 ")
        assert seen == {"controls": 0, "cut": [], "code": "rgba(0, 0, 0, 0)", "indents": [0] * 5, "skipped": 0}
        await expect(chat.title).to_be_visible()
        await expect(chat.title).to_have_text("Question 0")
        pages = (await chat.page.pdf(format="A4")).count(b"/Type /Page\n")
        assert pages >= 3
