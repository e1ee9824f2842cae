"""Reports: what is read from work folders, what the page and the tables say, and that no text gets out of its place."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from diffkit import cli
from diffkit.apis.report.chart import Series, line_chart
from diffkit.apis.report.facts import checkpoint_rows, config_rows, cost_rows, metric_rows
from diffkit.apis.report.figures import Figure, count, number, read_figures
from diffkit.apis.report.gallery import spread_out
from diffkit.apis.report.logged import Cost
from diffkit.apis.report.markdown import cell
from diffkit.apis.report.markup import Html, tag
from diffkit.apis.report.models import models_of_runs, prompts_of, read_models, similarity
from diffkit.apis.report.pictures import embed, picture
from diffkit.apis.report.run import read_runs
from diffkit.apis.report.writing import write_report
from tests.apis.report_kit import CONFIG, PROMPTS, work_dir

EVIL = """</td><script>alert("x")</script><img src=http://evil.example/a.png onerror='x'> & | `rm` [a](http://b)"""


class Page(HTMLParser):
    """The elements of a page, with their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.words = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, name, attributes):
        self.elements.append((name, dict(attributes)))
        if name not in ("meta", "img", "br"):
            self.open.append(name)

    def handle_startendtag(self, name, attributes):
        self.elements.append((name, dict(attributes)))

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("work_dirs")
    slower = CONFIG | {"optim_wrapper.optimizer.lr": "0.0001", "visualizer.init_kwargs.api_key": "'abc'"}
    return work_dir(root / "one"), work_dir(root / "two", config=slower, factor=100.0)


def test_a_work_folder_is_read(folders):
    run, other = read_runs(folders)
    assert run.name == "one" and run.config == CONFIG
    assert other.config["visualizer.init_kwargs.api_key"] == "(hidden)"
    assert run.curves["loss"][:2] == [(1, 1.0), (2, 0.5)] and len(run.curves["loss"]) == 40  # not the half line
    assert run.curves["prompt/sc"] == [(10, 0.2), (20, 0.4), (40, pytest.approx(0.6))]
    assert [(s.step, s.place, s.prompt) for s in run.samples] == [
        (step, place, PROMPTS[place]) for step in (0, 20, 40) for place in (0, 1)]
    assert run.results["after"] == {"concept/hit": Figure(0.75, 0.09, 20)}
    (checkpoint,) = run.checkpoints
    assert checkpoint.step == 39 and checkpoint.folder.base == "mini-sd"
    state = checkpoint.folder.path / "state" / "state.json"
    assert checkpoint.state_bytes == state.stat().st_size and 1000 < checkpoint.bytes < 1300
    assert run.environment == ["python 3.11.7 on Linux", "device CPU, 2 torch threads of 2 cores"]


def test_a_resumed_training_replaces_what_it_did_again(tmp_path):
    folder = work_dir(tmp_path / "run")
    later = folder / "20261122_000000" / "vis_data"
    later.mkdir(parents=True)
    (later / "scalars.json").write_text('{"loss": 7.0, "step": 40}\n{"loss": NaN, "step": 41}\n{"loss": 8, "step": 42}')
    assert read_runs([folder])[0].curves["loss"][-2:] == [(40, 7.0), (42, 8.0)]


def test_the_times_of_validations_are_not_those_of_the_training(tmp_path):
    folder = work_dir(tmp_path / "run")
    later = folder / "20261122_000000" / "vis_data"
    later.mkdir(parents=True)
    rows = [{"time": 0.5, "iter": 41, "step": 41}, {"time": 9.0, "data_time": 9.0, "prompt/sc": 1.0, "step": 41}]
    (later / "scalars.json").write_text("\n".join(map(json.dumps, rows)))
    curves = read_runs([folder])[0].curves
    assert curves["time"] == [(41, 0.5)] and "data_time" not in curves and curves["prompt/sc"][-1] == (41, 1.0)


def test_what_the_training_took_is_the_sum_of_all_starts_and_processes(folders, tmp_path):
    folder = work_dir(tmp_path / "run")
    (folder / "20261122_000000").mkdir()
    for place, name, cost in (("20261121_172511", "cost", (30, 60.0, 100.0)), ("20261122_000000", "cost", (10, 20, 34)),
                              ("20261122_000000", "cost_rank1", (10, 20.0, 36.5))):
        figures = dict(zip(("iterations", "seconds", "cpu_seconds"), cost, strict=True))
        (folder / place / f"{name}.json").write_text(json.dumps(figures))
    runs = read_runs([folder, folders[0]])
    assert [run.cost for run in runs] == [Cost(40, 80.0, 170.5), None]
    assert [row[:2] for row in cost_rows(runs)] == [
        ("iterations", ["40", "-"]), ("seconds by the clock", ["80 s", "-"]), ("CPU seconds", ["170.5 s", "-"])]
    page_file, tables = write_report([folder], out=tmp_path / "r.html")
    assert "| CPU seconds | 170.5 s |" in tables.read_text() and "170.5 s" in page_file.read_text()
    assert cost_rows(runs[1:]) == []


@pytest.mark.parametrize(("text", "shown"), [
    ('{"metric": "concept/hit", "rule": "greater", "step": 39, "value": 0.75}',
     "step39 (the best: concept/hit = 0.75)"),
    ('{"metric": "concept/hit", "step": 19, "value": 0.75}', "step39"), ("[", "step39"), ('{"step": {}}', "step39"),
    ('{"metric": "a", "step": 39, "value": NaN}', "step39")])
def test_the_best_step_folder_is_named(text, shown, tmp_path):
    folder = work_dir(tmp_path / "run")
    (folder / "best.json").write_text(text)
    (run,) = read_runs([folder])
    assert [row[0] for row in checkpoint_rows(run)] == [shown] and "best" not in run.results


def test_tests_are_found_in_the_logs_too_but_not_twice(folders, tmp_path):
    folder = work_dir(tmp_path / "run")
    for moment, value in (("20261121_180000", 0.75), ("20261121_190000", 0.5)):
        log = folder / "after" / moment
        (log / "vis_data").mkdir(parents=True)
        (log / f"{moment}.json").write_text(json.dumps({"concept/hit": value, "concept/hit_n": None, "time": 3.0}))
        (log / "vis_data" / "config.py").write_text("a = 1\nload_from = 'x/step39'\n")
    results = read_runs([folder])[0].results
    assert list(results) == ["after", "before", "step39 (20261121_190000)"]
    assert results["step39 (20261121_190000)"] == {"concept/hit": Figure(0.5)}


def test_folders_that_are_no_trainings_are_refused(folders, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        read_runs([tmp_path / "none"])
    with pytest.raises(ValueError, match="it has no step folders, logs or samples"):
        read_runs([tmp_path])
    with pytest.raises(ValueError, match="is a model: give it to --models"):
        read_runs([folders[0] / "step39"])


def test_two_folders_of_one_name_are_told_apart(tmp_path):
    first, second = work_dir(tmp_path / "a" / "run"), work_dir(tmp_path / "b" / "run")
    assert [run.name for run in read_runs([first, second])] == [str(first), str(second)]


def test_figures_and_numbers():
    assert read_figures({"a": 0.5, "a_se": 0.1, "a_n": 4, "b": float("nan"), "c": True, "d_n": 3, "e": None}) == {
        "a": Figure(0.5, 0.1, 4), "d_n": Figure(3.0)}
    assert str(Figure(0.96543, 0.0123, 256)) == "0.9654 ± 0.0123 (n = 256)"
    assert [number(x) for x in (0.0, 12.345, 1240, 12345.6, 2.1e-5, -3)] == [
        "0", "12.35", "1,240", "12,346", "2.1e-05", "-3"]
    assert [count(x) for x in (900, 3738080, 338.6e9)] == ["900", "3.74 M", "339 G"]


def test_secrets_are_hidden_and_words_are_not(tmp_path):
    token = "hf_" + "Secret" * 6
    shown = {"model.tuners.word.placeholder_token": "'<dog>'", "model.tuners.word.initializer_token": "'dog'"}
    hidden = {"hub.token": "'abc'", "a.hf_token": "'abc'", "a.password": "'abc'", "a.wandb_api_keys.0": "'abc'"}
    (run,) = read_runs([work_dir(tmp_path / "one", config={**shown, **hidden, "a.root": f"'https://me:{token}@hub'"})])
    assert run.config == {**shown, **dict.fromkeys(hidden, "(hidden)"), "a.root": "'https://me:***@hub'"}


def test_rows_of_configs_and_metrics(folders):
    runs = read_runs(folders)
    assert config_rows(runs) == [
        ("optim_wrapper.optimizer.lr", ["0.001", "0.0001"], None),
        ("visualizer.init_kwargs.api_key", ["(not set)", "(hidden)"], None)]
    titles, rows = metric_rows(runs[:1])
    assert titles == ["after", "before"]
    assert rows == [("concept/hit", ["0.75 ± 0.09 (n = 20)", "0.25 ± 0.1 (n = 20)"], None)]


def points_of(chart, kind):
    found = re.search(rf'<polyline points="([^"]*)" class="{kind}"', chart)
    return [tuple(map(float, pair.split(","))) for pair in found[1].split()]


def test_a_chart_puts_values_where_they_belong():
    chart = line_chart("loss", [Series("a", [(0, 1.0), (50, 2.0), (100, 3.0)], [0.5, 0.5, 0.5])])
    points = points_of(chart, "line c0")
    xs, ys = zip(*points, strict=True)
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1]) and ys[0] - ys[1] == pytest.approx(ys[1] - ys[2], abs=0.11)
    assert ys[0] > ys[2] and max(ys) < 210  # larger is higher
    assert "<polygon" in chart and "logarithmic" not in chart and "legend" not in chart
    assert "legend" in line_chart("loss", [Series("a", [(0, 1.0)]), Series("b", [])])  # of two trainings one has it
    steep = line_chart("loss", [Series("a", [(0, 1.0), (1, 10.0), (2, 100.0)])])
    ys = [y for _, y in points_of(steep, "line c0")]
    assert ys[0] - ys[1] == pytest.approx(ys[1] - ys[2], abs=0.11) and "logarithmic" in steep


def test_a_chart_of_one_value_or_equal_values():
    assert "<circle" in line_chart("a", [Series("x", [(5, 1.0)])])
    assert "<polyline" in line_chart("a", [Series("x", [(5, 0.0), (6, 0.0)])])
    assert line_chart("a", [Series("x", [])]) is None


def test_long_curves_are_thinned_and_keep_their_end():
    chart = line_chart("a", [Series("x", [(i, 1.0 + i % 2) for i in range(5000)])])
    thin = points_of(chart, "line c0 faint")
    assert len(thin) <= 241
    assert thin[-1][0] == 350.0
    smooth = [y for _, y in points_of(chart, "line c0")][5:-5]
    assert max(smooth) - min(smooth) < 5  # the mean of 1 and 2, all along


def test_moments_are_spread_out():
    assert spread_out([0, 5, 10], 9) == [0, 5, 10]
    assert spread_out(list(range(101)), 5) == [0, 25, 50, 75, 100]


def test_text_is_escaped_and_markup_is_not():
    assert tag("p", "a < b & \"c\"", Html("<br>"), title="\"x\" <y>") == (
        '<p title="&quot;x&quot; &lt;y&gt;">a &lt; b &amp; &quot;c&quot;<br></p>')
    assert tag("p", "a\x00b\ud800", None, ["c", 1]) == "<p>a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c1</p>"
    assert cell("a | b\n`c` <d> [e](f)") == "a \\| b \\`c\\` &lt;d&gt; \\[e\\](f)"


def test_pictures_are_checked_and_written_anew(tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8))
    noise.save(tmp_path / "a.png", pnginfo=None)
    assert embed(noise, "x", 320) == picture(tmp_path / "a.png", "x", 320, tmp_path)
    assert 'width="32" height="32"' in embed(noise, "x", 32)
    assert "data:image/jpeg" in embed(noise.resize((400, 300)), "x", 320)
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:500])
    assert picture(tmp_path / "b.png", "x", 320).startswith('<div class="missing">b.png: damaged')
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "c.png").symlink_to(tmp_path / "a.png")
    assert "a link to a place outside" in picture(inside / "c.png", "x", 320, inside)


def test_the_page_is_whole_and_loads_nothing(folders, tmp_path):
    page_file, tables = write_report(folders, out=tmp_path / "sub" / "r.html")
    text = page_file.read_text()
    page = Page(text)
    assert not [name for name, _ in page.elements if name in ("script", "link", "iframe", "object", "form")]
    sources = [attributes["src"] for name, attributes in page.elements if name == "img"]
    assert len(sources) == 12 and all(source.startswith("data:image/png;base64,") for source in sources)
    assert all(a.get("href", "#").startswith("#") for _, a in page.elements)
    assert "url(" not in text and "@import" not in text and "http" not in text.replace("http-equiv", "")
    ids = {a["id"] for _, a in page.elements if "id" in a}
    assert {a["href"][1:] for n, a in page.elements if n == "a"} == ids
    words = "".join(page.words)
    for expected in ("0.75 ± 0.09 (n = 20)", "optim_wrapper.optimizer.lr", "before training", "after 40", *PROMPTS):
        assert expected in words
    assert tables == tmp_path / "sub" / "r.md"
    assert "| concept/hit | 0.75 ± 0.09 (n = 20) |" in tables.read_text()
    assert "| loss | two | 100 | 2.5 | 2.5 | 100 |" in tables.read_text()
    assert "prompt/sc |" in tables.read_text() and "sc\\_se" not in tables.read_text()


def test_no_text_of_the_user_becomes_markup(tmp_path):
    folder = work_dir(tmp_path / "run", config={"model.pretrained": EVIL}, prompts=[EVIL, "b"])
    (folder / "after.json").write_text(json.dumps({EVIL: 1.5}))
    page_file, tables = write_report([folder], out=tmp_path / "r.html", title=EVIL)
    page = Page(page_file.read_text())
    assert not {name for name, _ in page.elements} & {"script", "b", "iframe", "object", "form", "link", "base"}
    assert not [a for _, a in page.elements if any(key.startswith("on") for key in a)]
    assert all(a["src"].startswith("data:") for n, a in page.elements if n == "img")
    assert EVIL in "".join(page.words)
    assert "<script>" not in tables.read_text() and "[a](" not in tables.read_text()


def test_models_by_name_and_label(folders, tmp_path):
    step = folders[0] / "step39"
    base, lora = read_models(["mini-sd", f"mine={step}"])
    assert (base.label, lora.label, lora.kind) == ("mini-sd", "mine", "an adapter of unet; trained on 'mini-sd'")
    assert base.bytes > lora.bytes and base.unet_bytes == lora.unet_bytes > 1_000_000
    with pytest.raises(ValueError, match="'mini-sd' comes twice"):
        read_models(["mini-sd", "mini-sd"])
    with pytest.raises(ValueError, match="mini-sx"):
        read_models(["mini-sx"])
    runs = read_runs(folders)
    assert models_of_runs(runs) == ["base=mini-sd", f"one={step}", f"two={folders[1] / 'step39'}"]
    assert prompts_of(runs, []) == PROMPTS == prompts_of([], [lora])
    with pytest.raises(ValueError, match="--prompt"):
        prompts_of([], [base])


def test_similarity_of_pictures():
    grey = [Image.new("RGB", (32, 32), (100, 100, 100))] * 2
    other = [Image.new("RGB", (32, 32), (105, 105, 105))] * 2
    found = similarity(grey, other)
    assert found["psnr"].value == pytest.approx(20 * np.log10(255 / 5)) and found["psnr"].n == 2
    assert similarity(grey, grey)["ssim"] == Figure(1.0, 0.0, 2)
    tiny = [Image.new("RGB", (8, 8))] * 2
    assert list(similarity(tiny, tiny)) == ["psnr"], "no window of SSIM fits in"
    assert similarity(grey, [Image.new("RGB", (16, 16))] * 2) == {} == similarity(grey, [])


@pytest.mark.parametrize(("line", "message"), [
    ([], "give folders of trainings, or models"), (["--models", "auto"], "'auto' stands alone"),
    (["--models", "mini-sd", "--out", "a.pdf"], "ends with .html"),
    (["--models", "mini-sd", "--repeats", "0"], "repeats must be 1 or more"),
    (["--models", "mini-sd"], "--prompt"), (["--models", "mini-sdd"], "--models 'mini-sdd'")])
def test_mistakes_are_answered_in_words(line, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["report", *line]) == 1
    assert message in capsys.readouterr().err and not list(tmp_path.iterdir())
