"""What libraries say about themselves is dropped; what they say about the user's work is not."""

import logging
import subprocess
import sys
import warnings

import pytest

from diffkit import cli
from diffkit.utils.quiet import no_loading_bars, quieten_libraries
from tests.test_launch import CONFIG

#: (logger, message, whether a user should read it)
MESSAGES = [
    ("torchao", "Failed to load /venv/torchao/_C.so: Could not load this library", False),
    ("torchao", "the quantised weights do not fit this device", True),
    ("torch.utils._pytree", "<enum 'KernelPreference'> is an Enum subclass and is now natively supported", False),
    ("diffusers.quantizers.torchao.torchao_quantizer", "Unable to import `torchao` Tensor objects.", False),
    ("transformers.utils.import_utils", "`CLIPImageProcessor` requires torchvision (not installed)", False),
    ("transformers.utils.import_utils", "something else", True),
    ("transformers.tokenization_utils_base", "Token indices sequence length is longer than the specified", False),
    ("diffusers.models.modeling_utils", "An error occurred while trying to fetch unet: no .safetensors", False),
    ("diffusers.models.modeling_utils", "Some weights were not used when initializing the model", True),
    ("diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion", "The following part was truncated", True),
]


@pytest.fixture
def quiet(monkeypatch):
    """Quietened libraries; their filters and those of warnings are as before afterwards."""
    loggers = [logging.getLogger(name) for name, _, _ in MESSAGES]
    before = {logger: list(logger.filters) for logger in loggers}
    monkeypatch.setenv("LOGLEVEL", "ERROR")
    with warnings.catch_warnings():
        quieten_libraries()
        quieten_libraries()  # twice does no more
        yield
    for logger, filters in before.items():
        logger.filters[:] = filters


@pytest.mark.parametrize(("name", "message", "shown"), MESSAGES)
def test_only_chatter_is_dropped(quiet, name, message, shown):
    record = logging.LogRecord(name, logging.WARNING, __file__, 1, message, (), None)
    assert bool(logging.getLogger(name).filter(record)) is shown
    assert sum(type(kept).__name__ == "_Drop" for kept in logging.getLogger(name).filters) <= 1


def test_messages_with_arguments_are_dropped_too(quiet):
    record = logging.LogRecord("torchao", logging.WARNING, __file__, 1, "Failed to load %s: %s", ("a", "b"), None)
    assert not logging.getLogger("torchao").filter(record)


def test_loading_bars_are_hidden_and_come_back(sd_folder, capsys):
    from diffusers import DiffusionPipeline
    from diffusers.utils import logging as diffusers_logging
    from huggingface_hub.utils import are_progress_bars_disabled
    from transformers.utils import logging as transformers_logging

    before = (diffusers_logging.is_progress_bar_enabled(), transformers_logging.is_progress_bar_enabled(),
              are_progress_bars_disabled())
    with no_loading_bars():
        assert are_progress_bars_disabled() is before[2]  # downloads take minutes: their bar stays
        DiffusionPipeline.from_pretrained(sd_folder)
    assert "Loading" not in capsys.readouterr().err
    assert before == (diffusers_logging.is_progress_bar_enabled(), transformers_logging.is_progress_bar_enabled(),
                      are_progress_bars_disabled())
    DiffusionPipeline.from_pretrained(sd_folder)
    assert "Loading" in capsys.readouterr().err


def test_a_process_that_samples_says_nothing_but_the_file(sd_folder, tmp_path):
    line = ["text2images", "--pretrained", str(sd_folder), "--caption", "a dog " + "very " * 90, "--images-num", "1",
            "--steps", "1", "--height", "32", "--width", "32", "--out", str(tmp_path / "a.png")]
    result = subprocess.run([sys.executable, "-m", "diffkit", *line], capture_output=True, text=True, check=True)
    assert result.stdout == f"{tmp_path / 'a.png'}\n"
    said = result.stderr.splitlines()
    assert said and all("was truncated because CLIP can only handle sequences" in text for text in said)  # a real one


def test_a_training_shows_its_own_lines_alone(sd_folder, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = CONFIG.format(pretrained=str(sd_folder)).replace("LoRATuner, S", "FullTuner, S")
    config = config.replace('type=LoRATuner, component="unet", rank=2', "type=FullTuner")
    (tmp_path / "tiny.py").write_text(config, encoding="utf-8")
    assert cli.main(["train", "tiny.py"]) == 0
    said = "".join(capfd.readouterr())
    assert "2/2 (100%) loss" in said
    assert "Loading" not in said and "Writing" not in said and "Warning" not in said
    assert (tmp_path / "work_dirs/tiny/step1/model_index.json").is_file()
