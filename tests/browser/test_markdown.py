"""Replies are Markdown: read as the specification says, the same however they arrive."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from tests.browser.hostile import PAYLOADS
from tests.browser.site import ROOT, Site, opened

Example = dict[str, Any]

REPLY = Path(__file__).with_name("reply.md").read_text()
CODE = "".join(f"def take_{n}(self):\n    return {n}\n" for n in range(60))

# Bare addresses are made links, which CommonMark leaves to extensions.
ADDRESSES_MADE_LINKS = {602, 608, 611}


def examples() -> list[Example]:
    specification = (ROOT / "node_modules/commonmark-spec/spec.txt").read_text().replace("→", "\t")
    pattern = re.compile(r"^`{32} example\n(.*?)^\.\n(.*?)^`{32}$", re.S | re.M)
    found = pattern.findall(specification.partition("<!-- END TESTS -->")[0])
    return [{"number": n, "markdown": m, "html": h} for n, (m, h) in enumerate(found, 1)]


async def test_commonmark_is_read_as_specified(harness: Page, browser: Browser, site: Site) -> None:
    every = examples()
    raw = await harness.evaluate("examples => examples.map(it => hasRawHtml(it.markdown))", every)
    chosen = [example for example, has_html in zip(every, raw, strict=True) if not has_html]
    async with opened(browser, site.url + "/without-policy/harness.html") as page:
        wanted = await page.evaluate("examples => examples.map(it => shapeOfHtml(it.html))", chosen)
    got = await harness.evaluate("examples => examples.map(it => shape(render(it.markdown)))", chosen)
    wrong = {
        example["number"]: (want, have) for example, want, have in zip(chosen, wanted, got, strict=True) if want != have
    }
    assert (len(every), len(chosen)) == (652, 580)
    assert wrong.keys() == ADDRESSES_MADE_LINKS


async def test_all_examples_end_the_same_however_they_are_cut(harness: Page) -> None:
    different = await harness.evaluate(
        "examples => examples.filter(it => differences(it.markdown).length).map(it => it.number)", examples()
    )
    assert different == []


@pytest.mark.parametrize("step", [0, 1, 7])
async def test_S08_a_hostile_reply_stays_text(harness: Page, step: int) -> None:
    requests: list[str] = []
    harness.on("request", lambda request: requests.append(request.url))
    found = await harness.evaluate(
        """async ([payloads, step]) => {
            const roots = payloads.map(text => render(text, step ? everyLength(text, step) : []));
            document.querySelector('#content').append(...roots);
            await frame();
            await frame();
            return roots.map(forbidden);
        }""",
        [PAYLOADS, step],
    )
    assert dict(zip(PAYLOADS, found, strict=True)) == {payload: [] for payload in PAYLOADS}
    assert await harness.evaluate("() => [window.owned, violations]") == [None, []]
    assert requests == []


async def test_S08_raw_html_is_text(harness: Page) -> None:
    text = await harness.evaluate("""() => render('<b onclick="x()">bold</b>').textContent""")
    assert text == '<b onclick="x()">bold</b>'


async def test_e08_four_elements_of_html_are_read_if_they_have_no_attributes(harness: Page) -> None:
    kept = "<sub>a <sup class='b'>c</sup> <kbd >d</kbd> <BR> <br clear='all'> <b>e</b> </sub> `<br>`"
    texts = [
        "H<sub>2</sub>O",
        "a<sup>*b*</sup>",
        "<kbd>Ctrl</kbd><br>x<br/>y",
        "| a<br>b |\n|-|",
        "<sub>a <sub>b",
        "<su",
    ]
    roots = await harness.evaluate(
        """texts => texts.map(text => {
            const root = render(text);
            return [root.textContent.replaceAll('\\n', ''), root.querySelectorAll('sub, sup, kbd, br').length,
                differences(text).length];
        })""",
        [*texts, kept],
    )
    assert roots[:-1] == [
        ["H2O", 1, 0],
        ["ab", 1, 0],
        ["Ctrlxy", 3, 0],
        ["ab", 1, 0],
        ["<sub>a <sub>b", 0, 0],
        ["<su", 0, 0],
    ]
    text, elements, different = roots[-1]
    assert (elements, different) == (1, 0)
    assert text == kept.removeprefix("<sub>").replace(" </sub>", " ").replace("`", "")


async def test_half_a_tag_is_never_seen(harness: Page) -> None:
    seen = await harness.evaluate(
        """text => {
            const { root, paint } = paintedView();
            return everyLength(text).map(length => {
                paint(text.slice(0, length));
                return root.textContent;
            }).filter(it => it.includes('<'));
        }""",
        "H<sub>2</sub>O<br>and <kbd>C</kbd> or<br />so <sup>2</sup>.",
    )
    assert seen == []


async def test_e03_each_block_has_its_own_direction_and_code_is_never_mirrored(harness: Page) -> None:
    directions = await harness.evaluate(
        """text => {
            const root = render(text);
            document.querySelector('#content').append(root);
            return [...root.querySelectorAll('p, ul, td, figure, code, .maths')].map(it =>
                `${it.localName} ${getComputedStyle(it).direction}`);
        }""",
        "Latin\n\nعربي `x()` و \\(y\\)\n\n- `x` عربي\n\n```\n# عربي\n```\n\n| عربي |\n|---|\n| عربي |",
    )
    assert directions == [
        *["p ltr", "p rtl", "code ltr", "span ltr", "ul rtl", "code ltr"],
        *["figure ltr", "code ltr", "td rtl"],
    ]


async def test_e08_tables_and_code_are_groups_and_no_landmarks(harness: Page) -> None:
    roles = await harness.evaluate(
        "text => [...render(text).querySelectorAll('[role]')].map(it => `${it.role} ${it.ariaLabel} ${it.tabIndex}`)",
        "| a |\n|---|\n\n```py\nx\n```\n\n$$x$$",
    )
    assert roles == ["group Table 0", "group py code 0", "group Formula 0"]


async def test_S09_an_image_is_a_link_that_nothing_fetches(harness: Page) -> None:
    html = await harness.evaluate("() => render('![the *cat*](https://example.com/cat.png)').innerHTML")
    link = 'class="image" href="https://example.com/cat.png" rel="noopener noreferrer nofollow" target="_blank"'
    assert html == f'<p dir="auto"><a {link}>the cat</a></p>'


async def test_only_absolute_web_and_mail_addresses_are_links(harness: Page) -> None:
    text = "README.md example.com //example.com [a](/b) [c](https://d.test) <e@f.test> http://g.test"
    links = await harness.evaluate(
        "text => [...render(text).querySelectorAll('a')].map(it => [it.textContent, it.href])", text
    )
    assert links == [
        ["a", ""],
        ["c", "https://d.test/"],
        ["e@f.test", "mailto:e@f.test"],
        ["http://g.test", "http://g.test/"],
    ]


async def test_a_long_reply_ends_the_same_wherever_it_is_cut(harness: Page) -> None:
    assert await harness.evaluate("text => differences(text)", REPLY) == []
    assert await harness.evaluate("text => differences(text)", REPLY.replace("\n", "\r\n")) == []


async def test_half_a_reply_never_shows_what_the_whole_will_not(harness: Page) -> None:
    """Apart from the signs of what is still open: no bare marker, half a table or half a fence is seen."""
    flashes = await harness.evaluate(
        r"""text => {
            const { root, paint } = paintedView();
            const seen = [];
            for (const length of everyLength(text)) {
                paint(text.slice(0, length));
                for (const node of root.querySelectorAll('p, li')) {
                    const line = (node.firstChild?.data ?? '').split('\n').at(-1);
                    if (/^ *(\||```|~~~|#+$|[-*+]$|\d+[.)]?$)/.test(line)) seen.push(line);
                }
            }
            return seen;
        }""",
        REPLY,
    )
    assert flashes == []


@pytest.mark.parametrize(
    ("half", "shown"),
    [
        ("the **end**", "<p>the <strong>end</strong></p>"),
        ("the **end*", "<p>the **end</p>"),
        ("the `end`", "<p>the <code>end</code></p>"),
        ("the **`end`**", "<p>the <strong><code>end</code></strong></p>"),
        ("the ~~end~~", "<p>the <s>end</s></p>"),
        ("and **one** and **", "<p>and <strong>one</strong> and</p>"),
        ("* one *two*", "<ul><li>one <em>two</em></li></ul>"),
    ],
)
async def test_a_marker_that_closes_is_shown_and_half_of_one_waits(harness: Page, half: str, shown: str) -> None:
    html = await harness.evaluate(
        """text => {
            const { root, paint } = paintedView();
            paint(text);
            return root.innerHTML.replaceAll('\\n', '').replaceAll(/ dir="\\w+"/g, '');
        }""",
        half,
    )
    assert html == shown


async def test_an_open_code_block_only_appends(harness: Page) -> None:
    changes = await harness.evaluate(
        """async text => {
            const { root, paint, finish } = paintedView();
            const changes = [];
            const opening = text.indexOf('\\n') + 1;
            paint(text.slice(0, opening));
            const block = root.firstChild, read = parser.parse.bind(parser);
            let readings = 0;
            parser.parse = (...given) => { readings++; return read(...given); };
            const observer = new MutationObserver(records => changes.push(...records));
            observer.observe(root, { childList: true, subtree: true, characterDataOldValue: true });
            for (const length of everyLength(text, 3)) paint(text.slice(0, Math.max(length, opening)));
            parser.parse = read;
            finish(text);
            await null;
            const texts = changes.filter(it => it.type === 'characterData');
            return {
                readings,
                removed: changes.filter(it => it.removedNodes.length).length,
                rewritten: texts.filter(it => !it.target.data.startsWith(it.oldValue)).length,
                islands: block.querySelectorAll('.cl').length,
                same: root.childNodes.length === 1 && root.firstChild === block,
                text: block.querySelector('pre code').textContent,
            };
        }""",
        "```py\n" + CODE + "```",
    )
    assert changes == {"readings": 0, "removed": 0, "rewritten": 0, "islands": 3, "same": True, "text": CODE}


@pytest.mark.parametrize("chosen", ["steady rate", "def take(self", "short lines", "16 B", "hard break"])
async def test_a_selection_survives_streaming(harness: Page, chosen: str) -> None:
    selected = await harness.evaluate(
        """([text, chosen]) => {
            const { root, paint, finish } = paintedView(document.querySelector('#content'));
            const start = text.indexOf(chosen) + chosen.length;
            paint(text.slice(0, start + 1));
            const nodes = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
            while (nodes.nextNode() && !nodes.currentNode.data.includes(chosen));
            const node = nodes.currentNode, at = node.data.indexOf(chosen);
            getSelection().setBaseAndExtent(node, at, node, at + chosen.length);
            for (let length = start + 2; length < text.length; length++) paint(text.slice(0, length));
            finish(text);
            return getSelection().toString();
        }""",
        [REPLY, chosen],
    )
    assert selected == chosen


async def test_every_code_block_is_reported_once_when_it_is_finished(harness: Page) -> None:
    for step in (1, 50, 100_000):
        reported = await harness.evaluate(
            """([text, step]) => {
                const seen = [];
                const root = render(text, everyLength(text, step), code => seen.push(code));
                const all = [...root.querySelectorAll('pre > code')];
                return [seen.length, all.length, all.every(code => seen.includes(code))];
            }""",
            [REPLY, step],
        )
        assert reported == [4, 4, True]


async def test_code_can_be_copied_exactly(harness: Page) -> None:
    code = await harness.evaluate(
        """text => {
            const root = render(text, everyLength(text));
            const figure = root.querySelector('button[data-do=copy-code]').closest('figure');
            return figure.querySelector('pre code').textContent;
        }""",
        "```\n" + CODE + "```",
    )
    assert code == CODE


async def test_painting_leaves_the_browser_three_quarters_of_the_time(harness: Page) -> None:
    """And is never more frequent than every 33 ms, however often the reply grows."""
    paints, seconds, text = await harness.evaluate(
        """async () => {
            const root = document.createElement('div'), view = streamMarkdown(root);
            let paints = 0, text = '';
            const changes = { childList: true, subtree: true, characterData: true };
            new MutationObserver(() => paints++).observe(root, changes);
            const start = performance.now();
            while (performance.now() - start < 500) {
                view.write(text += 'word ');
                await new Promise(resolve => setTimeout(resolve));
            }
            const seconds = (performance.now() - start) / 1000;
            while (root.textContent.length < text.trim().length) await frame();
            return [paints, seconds, root.textContent === text.trim()];
        }"""
    )
    assert 2 <= paints <= seconds / 0.033 + 2
    assert text


async def test_without_the_library_a_reply_is_plain_text(browser: Browser, site: Site) -> None:
    async with opened(browser, site.url + "/harness.html", without="**/vendor/**") as page:
        plain = await page.evaluate(
            """text => {
                const root = render(text, everyLength(text));
                return [parser, root.firstChild.className, root.textContent, forbidden(root)];
            }""",
            REPLY,
        )
    assert plain == [None, "plain", REPLY, []]


async def test_finished_code_gets_colours_without_markup(harness: Page) -> None:
    before = await harness.evaluate(
        """text => {
            const root = document.querySelector('#content');
            root.append(render(text, everyLength(text), highlight));
            return root.innerHTML;
        }""",
        "```python\n" + CODE + "```",
    )
    await harness.wait_for_function("() => CSS.highlights.get('keyword')?.size > 1")
    words = await harness.evaluate(
        """() => [...new Set([...CSS.highlights.get('keyword')].map(it => {
            const range = document.createRange();
            range.setStart(it.startContainer, it.startOffset);
            range.setEnd(it.endContainer, it.endOffset);
            return range.toString();
        }))]"""
    )
    assert words == ["def", "return"]
    assert await harness.evaluate("() => document.querySelector('#content').innerHTML") == before
    assert await harness.evaluate("() => violations") == []


async def test_e08_removed_lines_have_a_colour_of_their_own(harness: Page) -> None:
    await harness.evaluate(
        """() => document.querySelector('#content').append(render('```diff\\n- a\\n+ b\\n```', [], highlight))"""
    )
    await harness.wait_for_function("() => CSS.highlights.get('deleted')?.size === 1")
    assert await harness.evaluate("() => [...CSS.highlights.keys()].sort()") == ["deleted", "string"]


async def test_e04_forced_colours_have_no_highlights(harness: Page) -> None:
    """There each of them is an inverse box."""
    colour = """() => {
        document.querySelector('#content').replaceChildren(render('```py\\nreturn 1\\n```', [], highlight));
    }"""
    size = "() => CSS.highlights.get('keyword')?.size ?? 0"
    await harness.evaluate(colour)
    await harness.wait_for_function(f"() => ({size})() === 1")
    await harness.emulate_media(forced_colors="active")
    await harness.wait_for_function(f"() => ({size})() === 0")
    await harness.evaluate(colour)
    await harness.wait_for_function("() => CSS.highlights.has('keyword')")
    assert await harness.evaluate(size) == 0


@pytest.mark.parametrize("code", ["return 1\n" * 4000, "return " + "x" * 400])
async def test_long_code_stays_plain(harness: Page, code: str) -> None:
    await harness.evaluate(
        """code => {
            const roots = [code, 'return 1'].map(it => render('```py\\n' + it + '\\n```', [], highlight));
            document.querySelector('#content').append(...roots.reverse());
        }""",
        code,
    )
    await harness.wait_for_function("() => CSS.highlights.get('keyword')?.size")
    assert await harness.evaluate("() => CSS.highlights.get('keyword').size") == 1


@pytest.mark.parametrize("away", ["it => it.remove()", "it => { it.style.marginBlockStart = '5000px'; }"])
async def test_code_out_of_sight_costs_nothing_and_gets_its_colours_back(harness: Page, away: str) -> None:
    await harness.evaluate(
        """() => {
            window.root = render('```py\\nreturn 1\\n```', [], highlight);
            document.querySelector('#content').append(root);
        }"""
    )
    await harness.wait_for_function("() => CSS.highlights.get('keyword')?.size === 1")
    await harness.evaluate(f"() => ({away})(root)")
    await harness.wait_for_function("() => CSS.highlights.get('keyword').size === 0")
    await harness.evaluate(
        """() => {
            root.removeAttribute('style');
            document.querySelector('#content').append(root);
        }"""
    )
    await harness.wait_for_function("() => CSS.highlights.get('keyword').size === 1")
