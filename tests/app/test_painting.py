"""Painting for the page: one model a side, loaded anew only when the choice changes; the same noise for two."""

import numpy as np
import pytest
from PIL import Image

from diffkit.apis.text_to_image import text_to_image
from diffkit.app import painting as module
from diffkit.app.fields import FieldError
from diffkit.app.jobs import Cancelled, Job
from diffkit.app.models import Choice
from diffkit.app.paint_settings import read_settings
from diffkit.app.painting import Painter, save_to
from diffkit.utils.images import read_png_metadata
from tests.apis.test_load_pipeline import write_step


@pytest.fixture
def painter(monkeypatch):
    """A painter that counts what it loads."""
    made, real = Painter(device="cpu"), module.load_pipeline
    made.loaded = []

    def counted(*names, **options):
        made.loaded.append(names)
        return real(*names, **options)

    monkeypatch.setattr(module, "load_pipeline", counted)
    yield made
    made.close()


@pytest.fixture(scope="module")
def step(sd_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "step9"
    write_step(folder, sd_folder)
    return folder


def job():
    return Job(work=lambda job: None)


def settings(**changes):
    return read_settings({"prompt": "a photo of a dog", "steps": 2, "guidance": 3, "pictures": 2, "seed": 5, **changes})


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_the_pictures_are_those_of_text2images(painter, sd_folder, step, tmp_path):
    choice = Choice(str(sd_folder), (str(step),), (0.5,))
    painted = painter.paint(job(), choice, settings(negative_prompt="a cat"))
    files = text_to_image(sd_folder, [step], ["a photo of a dog"], weights=[0.5], images_num=2, seed=5, device="cpu",
                          guidance_scale=3.0, num_inference_steps=2, negative_prompt="a cat", out=tmp_path)
    assert [*painted.files, painted.grid] == [file.name for file in files]
    for name, file in zip(painted.files, files, strict=False):
        assert (pixels(painted.folder / name) == pixels(file)).all()
        assert read_png_metadata(painted.folder / name) == read_png_metadata(file)


def test_a_model_is_loaded_once_and_anew_when_it_changes(painter, sd_folder, step):
    base, with_step = Choice(str(sd_folder)), Choice(str(sd_folder), (str(step),), (1.0,))
    first = painter.paint(job(), base, settings())
    euler = painter.paint(job(), base, settings(sampler="euler"))
    again = painter.paint(job(), base, settings())
    assert len(painter.loaded) == 1
    assert (pixels(first.folder / first.files[0]) == pixels(again.folder / again.files[0])).all()
    assert (pixels(first.folder / first.files[0]) != pixels(euler.folder / euler.files[0])).any()
    assert read_png_metadata(euler.folder / euler.files[0])["sampler"] == "euler"
    painter.paint(job(), with_step, settings())
    painter.paint(job(), with_step, settings())
    assert len(painter.loaded) == 2
    (step / "diffkit.json").touch()
    painter.paint(job(), with_step, settings())
    assert len(painter.loaded) == 3


def test_two_models_on_the_same_noise(painter, sd_folder, sdxl_folder, step):
    one = Choice(str(sd_folder))
    painted = painter.compare(job(), [one, one], settings())
    assert len(painted.files) == 4 and len(painter.loaded) == 2 and set(painter._loaded) == {"a", "b"}
    for number in range(2):
        left, right = (pixels(painted.folder / painted.files[number + 2 * side]) for side in range(2))
        assert (left == right).all()
    assert painted.captions[0].startswith("A: ") and painted.captions[3] == f"B: {sd_folder.name}, seed 6"
    with Image.open(painted.folder / painted.grid) as grid:
        assert grid.width > 2 * 160 and grid.height > 2 * 160
    other = painter.compare(job(), [one, Choice(str(sd_folder), (str(step),), (3.0,))], settings())
    assert len(painter.loaded) == 3  # side A stayed
    assert (pixels(other.folder / other.files[0]) != pixels(other.folder / other.files[2])).any()
    painter.paint(job(), one, settings())
    assert len(painter.loaded) == 3 and set(painter._loaded) == {"a"}


def test_progress_and_cancelling(painter, sd_folder):
    class Impatient(Job):
        def report(self, doing, share):
            self.seen = [*getattr(self, "seen", []), share]
            if len(self.seen) == 3:
                raise Cancelled

    wanted = Impatient(work=lambda job: None)
    with pytest.raises(Cancelled):
        painter.paint(wanted, Choice(str(sd_folder)), settings(steps=10))
    assert wanted.seen == [0.0, 0.1, 0.2]
    after = job()
    painter.paint(after, Choice(str(sd_folder)), settings())
    assert after.share == 1.0 and len(painter.loaded) == 1


def test_saving_takes_a_new_folder_each_time(painter, sd_folder, tmp_path):
    painted = painter.paint(job(), Choice(str(sd_folder)), settings())
    folders = [save_to(painted, tmp_path / "pictures", "a-dog") for _ in range(2)]
    assert [folder.name for folder in folders] == ["a-dog", "a-dog_2"]
    assert read_png_metadata(folders[1] / painted.files[1])["seed"] == 6
    painter.forget(painted)
    assert not painted.folder.exists() and (folders[0] / painted.grid).is_file()
    (tmp_path / "file").touch()
    with pytest.raises(FieldError, match="cannot be written"):
        save_to(painted, tmp_path / "file", "a-dog")


def test_a_model_that_cannot_be_loaded_is_named_as_on_the_page(painter, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"model A .*empty"):
        painter.paint(job(), Choice(str(tmp_path / "empty")), settings())
