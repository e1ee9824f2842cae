"""The page of a report in a real browser: on a phone, on a desk, in the dark and on paper."""

import re

import pytest

from diffkit.apis.report.writing import write_report
from tests.apis.report_kit import CONFIG, work_dir
from tests.browser import Browser, find_chromium

CHROMIUM = find_chromium()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium, or set DIFFKIT_CHROMIUM")]

#: Whether the page is wider than the window; elements that scroll by themselves do not count.
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
#: The least contrast of text with what is behind it (WCAG 2: 4.5 for text), and the words that have it.
CONTRAST = """(() => {
  const level = c => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const light = rgb => 0.2126 * level(rgb[0]) + 0.7152 * level(rgb[1]) + 0.0722 * level(rgb[2]);
  const parts = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const behind = e => { for (; e; e = e.parentElement) {
    const c = parts(getComputedStyle(e).backgroundColor);
    if (c.length == 3 || c[3] > 0) return c; } return [255, 255, 255]; };
  let worst = [99, ''];
  for (const e of document.querySelectorAll('h1,h2,h3,p,td,th,li,a,summary,figcaption,.soft,.spread,text')) {
    if (!e.textContent.trim() || !e.getClientRects().length) continue;
    const style = getComputedStyle(e), b = light(behind(e));
    const a = light(parts(e.tagName == 'text' ? style.fill : style.color));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < worst[0]) worst = [ratio, e.textContent];
  }
  return worst; })()"""


@pytest.fixture(scope="module")
def browser():
    with Browser(CHROMIUM) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("report")
    long = CONFIG | {"train_dataloader.dataset.data_root": repr("/a/rather/long/folder" * 6)}
    folders = [work_dir(root / "mini_sd_dreambooth_lora"), work_dir(root / "a_training_of_longer_name", config=long)]
    return write_report(folders, out=root / "report.html")[0]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(360, 740), (1280, 900)], ids=["phone", "desk"])
def test_it_fits_and_can_be_read(browser, page, tmp_path, width, height, dark):
    browser.requests.clear()
    browser.show(page, width, height, dark)
    assert browser.value(TOO_WIDE) <= 0
    ratio, text = browser.value(CONTRAST)
    assert ratio >= 4.5, text
    background = browser.value("getComputedStyle(document.body).backgroundColor")
    levels = [int(level) for level in re.findall(r"\d+", background)[:3]]
    assert (max(levels) < 60) if dark else (min(levels) > 200)
    assert browser.value("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert browser.value("document.images.length") == 12
    assert [url for url in browser.requests if not url.startswith(("data:", "file:"))] == []
    assert len([url for url in browser.requests if url.startswith("file:")]) == 1  # the page itself
    assert browser.screenshot(tmp_path / "page.png").stat().st_size > 20_000


def test_charts_are_drawn(browser, page):
    browser.show(page, 1280, 900)
    sizes = browser.value("[...document.querySelectorAll('.chart > svg')].map(e => [e.clientWidth, e.clientHeight])")
    assert len(sizes) == 4 and all(width > 250 and height > 120 for width, height in sizes)
    colours = browser.value(
        "[...document.querySelectorAll('.chart .line')].map(e => getComputedStyle(e).stroke)")
    assert len(set(colours)) == 2 and "none" not in colours
    widths = "[...document.querySelectorAll('.chart > svg > *')].map(e => e.getBoundingClientRect().width)"
    assert browser.value(f"{widths}.filter(width => width > 200).length") >= 4 * (1 + 4 + 2)  # axis, grid, lines
    assert browser.value("document.querySelector('.chart text').getBoundingClientRect().height") > 5


def test_on_paper_nothing_is_cut(browser, page, tmp_path):
    browser.show(page, 700, 990, dark=True, media="print")
    assert browser.value(TOO_WIDE) <= 0
    cut = "[...document.querySelectorAll('.scroll,.strip')].filter(e => e.scrollWidth > e.clientWidth + 1).length"
    assert browser.value(cut) == 0
    assert browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    data = browser.pdf(tmp_path / "page.pdf").read_bytes()
    assert data.startswith(b"%PDF") and 1 <= len(re.findall(rb"/Type\s*/Page\b", data)) <= 8
