"""The config that the page writes: a checked copy of a shipped one, whatever was typed into the form."""

import pytest

from diffkit.app.fields import FieldError
from diffkit.app.recipes import DEFAULT, recipe_names, recipes
from diffkit.app.settings_file import check_written, read_wish, wish_lines, write_config
from diffkit.utils.config_check import ConfigError, check_config, read_safely
from diffkit.utils.config_check.classes import forget_bases
from diffkit.utils.config_check.source import forget_sources


@pytest.fixture(scope="module", autouse=True)
def sources():
    yield
    forget_sources()
    forget_bases()


@pytest.fixture
def photos(tmp_path):
    from PIL import Image

    folder = tmp_path / "run" / "app" / "photos"
    folder.mkdir(parents=True)
    Image.new("RGB", (70, 64), "red").save(folder / "photo_001.png")
    return folder


def written(values, photos):
    path = write_config(read_wish({"name": "my_dog", **values}), photos, photos.parent)
    check_config(path, {}, safe=True, keep_sources=True)  # as check_written, which reads all sources each time
    return read_safely(path)


def test_which_configs_there_are():
    assert recipe_names()[0] == DEFAULT == next(iter(recipes()))
    assert not any("two" in name or "wooden_pot" in name for name in recipes())  # of two subjects
    assert set(recipes()) < set(recipe_names())
    assert recipes()["mini_sd_textual_inversion"].learned == "word"
    assert (recipes()[DEFAULT].word, recipes()[DEFAULT].iterations) == ("sks", 300)


@pytest.mark.parametrize("name", recipe_names())
def test_every_config_passes_the_check_with_what_the_page_changes(name, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()  # folders of prior photographs that some configs name
    if name not in recipes():
        return
    values = {"config": name, "word": "<w>", "class_word": "dog", "iterations": 10}
    if "custom_diffusion" in name and "mini" not in name:  # photographs of its class, which only the user has
        with pytest.raises(ValueError, match="class_data_root"):
            written(values, photos)
        return
    cfg = written(values, photos)
    dataset = cfg.train_dataloader.dataset
    assert (dataset.data_root, dataset.placeholder, cfg.train_cfg.max_iters) == (str(photos), "<w>", 10)
    words = [tuner.placeholder_token for tuner in cfg.model.tuners.values() if "placeholder_token" in tuner]
    assert words == (["<w>"] if recipes()[name].learned else [])
    sampled = [hook for hook in cfg.custom_hooks if "prompts" in hook]
    assert len(sampled) == 1 and sampled[0].interval == 2
    said = dataset.get("instance_prompt")
    trained = said.format("<w>") if isinstance(said, str) else "a photo of a <w>"
    assert sampled[0].prompts == [trained, f"{trained} on a red background"]
    for scheduler in cfg.get("param_scheduler") or []:
        assert 0 <= scheduler.begin < scheduler.end <= 11


def test_the_rest_of_the_config_stays(photos):
    cfg = written({"config": DEFAULT, "class_word": "toy", "learning_rate": "2e-4", "seed": 5}, photos)
    own = read_safely(recipes()[DEFAULT].path)
    assert (cfg.optim_wrapper.optimizer.lr, cfg.randomness.seed) == (2e-4, 5)
    assert cfg.train_dataloader.dataset.instance_prompt == "a photo of a {} toy"
    assert cfg.train_dataloader.dataset.class_prompt == own.train_dataloader.dataset.class_prompt
    assert cfg.param_scheduler == own.param_scheduler and cfg.model == own.model
    assert cfg.test_cfg is None


@pytest.mark.parametrize("text", ["');import os;os.system('x')#", '"""', "\\", "a'b", "ü"])
def test_texts_are_never_code(photos, text):
    cfg = written({"config": DEFAULT, "class_word": text}, photos)
    assert cfg.train_dataloader.dataset.instance_prompt == f"a photo of a {{}} {text}"


@pytest.mark.parametrize(("field", "value", "words"), [
    ("config", "mini_sd_unet", "no config 'mini_sd_unet' here"), ("config", "../x", "no config"),
    ("name", "", "is empty"), ("name", "../up", "allowed: up to 40 letters"), ("name", ".hidden", "allowed"),
    ("name", "a/b", "allowed"), ("word", "two words", "one word"), ("word", "{}", "one word"),
    ("class_word", "{}", "without braces"), ("iterations", 0, "from 1 to 100000"), ("learning_rate", 2, "1e-08 to 1"),
    ("learning_rate", "fast", "given 'fast'"), ("seed", -1, "from 0")])
def test_a_field_that_is_not_allowed(field, value, words):
    with pytest.raises(FieldError, match=words) as caught:
        read_wish({"config": DEFAULT, "name": "a", field: value})
    assert caught.value.field == field.replace("_", " ")


def test_the_check_lists_the_faults(photos):
    path = write_config(read_wish({"config": DEFAULT, "name": "a"}), photos, photos.parent)
    assert check_written(path) == []
    path.write_text(path.read_text(encoding="utf-8") + "train_cfg.update(max_iterations=3)\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="max_iterations"):
        check_written(path)


def test_own_sentences_stay(photos):
    lines = "\n".join(wish_lines(read_wish({"config": "mini_sd_textual_inversion", "name": "a"}), photos))
    assert "instance_prompt" not in lines and "placeholder_token='<thing>'" in lines
