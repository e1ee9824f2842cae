"""The page in a real browser: paint, compare, train from photographs, stop, go on, and paint with the result."""

import sys
import threading

import pytest
from PIL import Image, ImageDraw

from diffkit.app import trainings
from diffkit.app.api import Api
from diffkit.app.roots import Roots
from diffkit.app.server import AppServer
from diffkit.utils.images import read_png_metadata
from tests.browser import Browser, find_chromium

CHROMIUM = find_chromium()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium, or set DIFFKIT_CHROMIUM")]

TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
SHOWN = "[...document.querySelectorAll('#result figure img')].filter(i => i.complete && i.naturalWidth == 64).length"
ITERATIONS = 12


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """An app with an empty work folder, as ``diffkit app`` starts it."""
    root = tmp_path_factory.mktemp("app") / "work_dirs"
    root.mkdir()
    api = Api(Roots([root]), device="cpu")
    with AppServer(api) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
    api.close()


@pytest.fixture(scope="module")
def browser():
    with Browser(CHROMIUM, timeout=1200.0) as opened:  # a training starts slowly on a busy machine
        yield opened


@pytest.fixture
def page(app, browser):
    """The page, freshly opened on a desk."""
    open_page(app, browser, 1280, 900)
    yield browser
    foreign = [url for url in browser.requests if not url.startswith((app.url, "about:", "blob:", "data:"))]
    assert foreign == []


def open_page(app, browser, width, height, dark=False):
    browser.visit(app.url, width, height, dark)
    browser.wait_for("document.documentElement.dataset.ready")


def fill(browser, form, **values):
    """Types values into fields and lets the page know."""
    for name, value in values.items():
        browser.value(f"""(() => {{ const field = document.getElementById('{form}').elements['{name}'];
            field.value = {str(value)!r}; field.dispatchEvent(new Event('change', {{bubbles: true}})); }})()""")


def click(browser, name):
    browser.value(f"document.getElementById('{name}').click()")


def finished(browser, pictures):
    """Waits until a painting has ended, and says what is wrong where it has failed."""
    browser.wait_for("document.getElementById('cancel').hidden")
    assert browser.value("document.querySelector('#paint-form > .error').textContent") == ""
    browser.wait_for(f"{SHOWN} == {pictures}")


def photographs(folder, count=3):
    folder.mkdir()
    files = []
    for number in range(count):
        image = Image.new("RGB", (96, 80), (30 * number, 90, 200))
        ImageDraw.Draw(image).ellipse((20, 12, 70 + number, 66), fill=(240, 200, 30))
        files.append(folder / f"photo {number}.jpg")
        image.save(files[-1])
    return files


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 900)], ids=["phone", "desk"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_fits(app, browser, tmp_path, width, height, dark):
    open_page(app, browser, width, height, dark)
    for tab in ("paint", "compare", "train"):
        click(browser, f"tab-{tab}")
        assert browser.value(TOO_WIDE) <= 0
        assert browser.value("document.querySelectorAll('main:not([hidden])').length") == 1
        assert browser.screenshot(tmp_path / f"{tab}.png").stat().st_size > 10_000
    background = browser.value("getComputedStyle(document.body).backgroundColor")
    assert (max if dark else min)(int(level) for level in background[4:-1].split(",")) in (range(60) if dark
                                                                                           else range(200, 256))


def test_paint_and_save(app, page, tmp_path):
    fill(page, "paint-form", prompt="a photo of a red circle", steps=4, pictures=1, seed=7)
    click(page, "paint")
    finished(page, 1)
    click(page, "save")
    saved = page.wait_for("(document.querySelector('#result .head').innerText.match(/saved to (.*)/) || [])[1]")
    (file,) = app.api.roots.work.glob("app_pictures/*/*.png")
    assert saved == str(file.parent)
    about = read_png_metadata(file)
    assert (about["prompt"], about["seed"], about["pretrained"]) == ("a photo of a red circle", 7, "mini-sd")
    assert page.screenshot(tmp_path / "painted.png").stat().st_size > 20_000


def mistake(page):
    """What the page says of a mistake, once it has looked at everything, and the field that it marks."""
    click(page, "paint")
    page.wait_for("!document.getElementById('paint').disabled")
    marked = page.value("[...document.querySelectorAll('[aria-invalid]')].map(e => e.name || e.className)")
    assert page.value("document.activeElement.getAttribute('aria-invalid')") == "true"  # and so it can be seen
    return page.value("document.querySelector('#paint-form > .error').textContent"), marked


def test_a_mistake_is_shown_and_costs_no_pictures(page):
    fill(page, "paint-form", steps=2, pictures=1)
    click(page, "paint")
    finished(page, 1)
    fill(page, "paint-form", steps=900)
    assert mistake(page) == ("Steps: given '900'; allowed: numbers from 1 to 200", ["steps"])
    assert page.value(SHOWN) == 1
    fill(page, "paint-form", steps=2, width=100)
    text, marked = mistake(page)
    assert text.startswith("Width: given 100; allowed: multiples of 8") and marked == ["width"]
    fill(page, "paint-form", width="")
    page.value("""(() => { const select = document.querySelector('#model-a select'); select.value = 'other';
        select.dispatchEvent(new Event('change')); })()""")
    page.value("document.querySelector('#model-a .path').value = '/etc'")
    text, marked = mistake(page)
    assert text.startswith("Model, base: '/etc' lies outside of the folders") and marked == ["path"]
    page.value("document.querySelector('#model-a select').value = 'mini-sd'")
    click(page, "tab-compare")
    for _ in range(2):  # the first row stays empty, and is not sent
        page.value("document.querySelector('#model-b .plain').click()")
    page.value("""(() => { const select = document.querySelectorAll('#model-b .row select')[1]; select.value = 'other';
        select.dispatchEvent(new Event('change')); })()""")
    page.value("document.querySelectorAll('#model-b .row .path')[1].value = 'nothing'")
    text, marked = mistake(page)
    assert text.startswith("Model B, step folder 1, path: there is no folder 'nothing'") and marked == ["path"]
    assert page.value(SHOWN) == 1


def press(browser, key, code):
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code,
                     text="\r" if key == "Enter" else "")


def test_a_picture_is_enlarged_by_the_keyboard(page):
    fill(page, "paint-form", steps=2, pictures=1)
    click(page, "paint")
    finished(page, 1)
    page.value("document.querySelector('#result figure img').focus()")
    press(page, "Enter", 13)
    page.wait_for("document.getElementById('large').open")
    press(page, "Escape", 27)
    page.wait_for("!document.getElementById('large').open")
    assert page.value("document.activeElement === document.querySelector('#result figure img')")


def test_a_training_that_fails_is_shown_and_its_photographs_stay(app, page, tmp_path, monkeypatch):
    words = "error: model.pretrained 'nobody/model' is not there"
    monkeypatch.setattr(trainings, "train_command", lambda *_: [
        sys.executable, "-c", f"import time; print('Loading', flush=True); time.sleep(2); exit({words!r})"])
    click(page, "tab-train")
    page.wait_for("!document.querySelector('[name=config]').disabled")
    page.choose_files("#photos", photographs(tmp_path / "photos", 2))
    page.wait_for("document.querySelectorAll('#thumbs img').length == 2")
    app.api.photos._sets.clear()  # as after a new start of the app
    fill(page, "train-form", name="fails")
    click(page, "train")
    page.wait_for("document.querySelector('.now')?.innerText.includes('Loading')")
    page.wait_for("document.querySelector('.state').textContent == 'failed'")
    assert page.value("document.querySelector('#train-form > .error').textContent") == ""
    assert page.value("document.querySelector('.now .error').textContent") == words
    assert app.api.progress("fails")["photos"] == 2
    assert page.value("!!document.getElementById('training-resume')")


def test_compare(page):
    click(page, "tab-compare")
    fill(page, "paint-form", steps=3, pictures=1)
    page.value("document.querySelector('#model-b select').value = 'mini-sdxl'")
    click(page, "paint")
    finished(page, 2)
    assert page.value("document.querySelector('.sides').innerText").split("\n") == ["A: mini-sd", "B: mini-sdxl"]
    sources = page.value("[...document.querySelectorAll('#result figure img')].map(i => new URL(i.src).pathname)")
    assert [source.split("/")[3] for source in sources] == ["a", "b"]


def test_train_stop_resume_and_paint(app, page, tmp_path):
    click(page, "tab-train")
    page.wait_for("!document.querySelector('[name=config]').disabled")
    fill(page, "train-form", config="mini_sd_textual_inversion")
    fill(page, "train-form", name="ball", word="<ball>", class_word="ball", iterations=ITERATIONS)
    (tmp_path / "notes.jpg").write_text("no picture", encoding="utf-8")
    page.choose_files("#photos", [*photographs(tmp_path / "photos"), tmp_path / "notes.jpg"])
    fault = page.wait_for("document.querySelector('#train-form > .error').textContent")
    assert fault.startswith("Photos: notes.jpg: not a picture of a known format")
    assert page.value("document.querySelectorAll('#thumbs img').length") == 3
    click(page, "train")
    state, words = "document.querySelector('.state')?.textContent", "document.querySelector('.now p')?.textContent"
    page.wait_for(f"/^iteration [1-9]/.test({words})")
    click(page, "training-stop")
    page.wait_for(f"{state} == 'stopped'")
    first = app.api.progress("ball")
    assert 1 <= first["iteration"] < ITERATIONS and len(first["steps"]) == 1
    assert page.value("document.querySelectorAll('.strip img').length") >= 2  # the model before training
    page.wait_for("[...document.querySelectorAll('.strip img')].some(i => i.naturalWidth == 64)")
    click(page, "training-resume")
    page.wait_for(f"{state} == 'done'")
    assert f"iteration {ITERATIONS} of {ITERATIONS} · loss" in page.value(words)
    captions = "[...document.querySelectorAll('.strip figcaption')].map(e => e.textContent)"
    page.wait_for(f"{captions}.includes('after {ITERATIONS}')")
    steps = [curve[0] for curve in app.api.progress("ball")["losses"]]
    assert steps == list(range(1, ITERATIONS + 1))
    assert page.screenshot(tmp_path / "trained.png").stat().st_size > 20_000
    click(page, "training-use")
    page.wait_for("!document.getElementById('panel-paint').hidden")
    assert page.value("document.querySelector('#model-a .row select').value") == str(
        app.api.roots.work / "ball" / f"step{ITERATIONS - 1}")
    fill(page, "paint-form", steps=2, pictures=1)
    click(page, "paint")
    finished(page, 1)
    assert "<ball>" in page.value("document.querySelector('#result h2').textContent")
