"""Formulas in replies: found where they are meant, set as MathML, and never more than a page can bear."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from tests.browser.site import Site, opened

CASE = re.compile(r"^=== ([^\n]+)\n(.*?)^--- ([^\n]*)$", re.S | re.M)
CASES = {name: (text, read) for name, text, read in CASE.findall(Path(__file__).with_name("maths.txt").read_text())}
# read() returns a reply as text without blanks, with its formulas in brackets.
TOOLS = r"""() => {
    window.read = root => {
        const copy = root.cloneNode(true);
        copy.querySelectorAll('figcaption').forEach(it => it.remove());
        copy.querySelectorAll('[data-source]').forEach(it => it.replaceChildren(`⟦${it.dataset.source}⟧`));
        return copy.textContent.replace(/\n/g, '⏎').replace(/\s|⏎(?![^⟦]*⟧)/g, '');
    };
    window.set = async root => {
        document.querySelector('#content').append(root);
        while (root.querySelector('[data-source]:not([data-set])')) await frame();
        return root;
    };
}"""
MATHS = r"""The roots of \(ax^2 + bx + c = 0\) are

$$
x = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a}
$$

- one is $x_1$, and \[\begin{aligned} a &= b \\ &= c \end{aligned}\]
- see [$y$](https://a.test)"""


@pytest.fixture
async def maths(harness: Page) -> Page:
    await harness.evaluate(TOOLS)
    return harness


@pytest.fixture
async def unset(browser: Browser, site: Site) -> AsyncIterator[Page]:
    """Without the library."""
    async with opened(browser, site.url + "/harness.html", without="**/temml/**") as page:
        await page.evaluate(TOOLS)
        yield page


async def test_e01_formulas_are_found_where_they_are_meant(unset: Page) -> None:
    texts = {name: text.strip("\n") for name, (text, _) in CASES.items()}
    found = await unset.evaluate("texts => Object.values(texts).map(text => read(render(text)))", texts)
    wanted = {name: re.sub(r"\s", "", read) for name, (_, read) in CASES.items()}
    assert dict(zip(texts, found, strict=True)) == wanted
    assert len(CASES) >= 60


async def test_formulas_end_the_same_wherever_a_reply_is_cut(unset: Page) -> None:
    texts = [text for text, _ in CASES.values()]
    joined = ["Before\n" + "\n\n".join(texts[n : n + 3]) for n in range(0, len(texts), 3)]
    different = await unset.evaluate("texts => texts.filter(text => differences(text).length)", texts + joined)
    assert different == []


async def test_half_a_formula_is_never_seen(unset: Page) -> None:
    """Nor a delimiter that will be gone, in all those cases that have none in the end."""
    texts = [text for text, read in CASES.values() if not re.search(r"[$\\]", re.sub("⟦.*?⟧", "", read))]
    seen = await unset.evaluate(
        r"""texts => texts.flatMap(text => {
            const { root, paint } = paintedView();
            return everyLength(text).map(length => {
                paint(text.slice(0, length));
                return read(root);
            }).filter(it => /[$\\]/.test(it.replace(/⟦.*?⟧/g, '')));
        })""",
        texts,
    )
    assert len(texts) > 20
    # Half of a code span and of a link are text while they come.
    assert [text for text in seen if "`" not in text and "](" not in text] == []


async def test_an_unfinished_formula_hides_no_text_for_long(unset: Page) -> None:
    for text, end in [("It costs $5 and more", "more"), (r"See \(this and that", "that"), ("$$\nx\n\nText", "Text")]:
        shown = await unset.evaluate(
            "text => { const { root, paint } = paintedView(); paint(text); return root.textContent; }", text
        )
        assert shown.endswith(end)


async def test_e01_formulas_become_maths_under_the_content_policy(maths: Page) -> None:
    found = await maths.evaluate(
        """async text => {
            const whole = await set(render(text));
            const letters = await set(render(text, everyLength(text)));
            const kinds = [...whole.querySelectorAll('[data-source]')].map(it =>
                [it.localName, it.firstChild.getAttribute('display') ?? 'inline', it.childElementCount]);
            return [kinds, whole.isEqualNode(letters), forbidden(whole), violations];
        }""",
        MATHS,
    )
    inline, block, display = ["span", "inline", 1], ["div", "block", 1], ["span", "block", 1]
    assert found == [[inline, block, inline, display, inline], True, [], []]


async def test_a_formula_that_is_set_is_left_alone_while_its_reply_grows(maths: Page) -> None:
    same = await maths.evaluate(
        r"""async () => {
            const { root, paint } = paintedView();
            paint('So \\(x\\)');
            const node = (await set(root)).querySelector('math');
            for (const more of [' and', ' and *more*', ' and *more* $y$']) paint('So \\(x\\)' + more);
            return root.querySelector('math') === node;
        }"""
    )
    assert same


async def test_e01_without_its_library_a_formula_shows_its_source(unset: Page) -> None:
    found = await unset.evaluate(
        r"""async () => {
            const root = render('So $x_1$ and\n\n\\[\ny\n\\]');
            await frame();
            return [root.textContent, root.querySelector('math')];
        }"""
    )
    assert found == ["So $x_1$ and\\[\ny\n\\]", None]


HOSTILE = [
    r"\frac{a}",
    r"\href{javascript:window.owned=1}{x}",
    r"\url{https://evil.test}",
    r"\includegraphics{https://evil.test/x.png}",
    r"\class{top}{x}",
    r"\id{say}{x}",
    r"\style{position:fixed}{x}",
    r"\data{do=new}{x}",
    r"\htmlStyle{position:fixed}{x}",
    r"\ref{say}",
    r"\def\a{\a\a}\a",
    r"\def\a#1{#1#1#1#1}\a{\a{\a{\a{\a{x}}}}}" * 20,
    r"\frac{" * 200 + "a" + "}{b}" * 200,
    r"\sqrt{" * 400 + "a" + "}" * 400,
    "{" * 3_000,
    "a+" * 1_900,
]


async def test_what_is_bad_or_hostile_shows_its_source(maths: Page) -> None:
    requests: list[str] = []
    await maths.evaluate("async () => { await set(render('$x$')); }")
    maths.on("request", lambda request: requests.append(request.url))
    shown = await maths.evaluate(
        """async texts => {
            const roots = texts.map(text => render(`$$${text}$$`));
            await Promise.all(roots.map(set));
            return roots.map(root => root.textContent);
        }""",
        HOSTILE,
    )
    assert shown == [f"$${text}$$" for text in HOSTILE]
    assert await maths.evaluate("() => [window.owned, violations]") == [None, []]
    assert requests == []


async def test_a_formula_names_nothing_and_covers_nothing(maths: Page) -> None:
    """Its labels would be ids of the page, and its sizes could hide what is around it."""
    found = await maths.evaluate(
        r"""async text => {
            const root = await set(render(text));
            const box = root.querySelector('.display'), math = root.querySelectorAll('math').length;
            return [math, root.querySelectorAll('[id]').length, root.scrollWidth <= document.body.clientWidth];
        }""",
        r"""$$\begin{align} a \label{say} \tag{1} \end{align}$$

$$\rule{9000em}{9000em} \kern-9000em \text{x}$$""",
    )
    assert found == [2, 0, True]


@pytest.mark.parametrize("text", [r"\(\frac{a}{b}\) b" + "\n\n", r"\[ \sum_{i=0}^n i \]" + "\n\n"])
async def test_thousands_of_formulas_stall_nothing(maths: Page, text: str) -> None:
    found = await maths.evaluate(
        """async text => {
            const root = document.createElement('div'), view = streamMarkdown(root);
            let longest = 0, last = performance.now();
            view.finish(text);
            while (!view.isDone() || root.querySelector('[data-source]:not([data-set])')) {
                await new Promise(resolve => setTimeout(resolve));
                longest = Math.max(longest, performance.now() - last);
                last = performance.now();
            }
            return [longest < 2000, root.querySelectorAll('math *').length, root.querySelectorAll('.maths').length];
        }""",
        text * 3_000,
    )
    assert found[0]
    assert 5_000 < found[1] <= 22_000
    assert found[2] == 3_000


async def test_a_selection_is_copied_with_formulas_as_they_were_written(maths: Page) -> None:
    copied = await maths.evaluate(
        """async text => {
            const root = await set(render(text));
            const copy = (start, end) => {
                getSelection().setBaseAndExtent(start, 0, end, end.childNodes.length);
                const event = new ClipboardEvent('copy', { clipboardData: new DataTransfer(), cancelable: true });
                document.dispatchEvent(event);
                const { clipboardData } = event;
                return [clipboardData.getData('text/plain'), /<math/.test(clipboardData.getData('text/html'))];
            };
            const [first, second] = root.querySelectorAll('math');
            const parts = first.querySelectorAll('mi');
            return [copy(root, root), copy(parts[0], parts[1]), copy(first.querySelector('mo'), second)];
        }""",
        MATHS,
    )
    everything, inside, across = copied
    sentence = r"\(ax^2 + bx + c = 0\)"
    root = MATHS.split("\n\n")[1]
    assert inside == [sentence, False]
    assert across == [f"{sentence} are\n\n{root}", False]
    assert everything[0].startswith(f"The roots of {sentence} are\n\n{root}\n")
    assert r"one is $x_1$, and" in everything[0]
    assert everything[1] is False
