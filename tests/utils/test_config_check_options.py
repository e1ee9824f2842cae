"""``--cfg-options``: what may be set, what is made on the way, and who is to blame."""

import pytest

from diffkit.apis.configs import find_config
from diffkit.utils.config_check import check_config
from tests.utils.config_check_kit import faults_of, only_fault, write_config, write_kit

LORA = "mini_sd_dreambooth_lora"


@pytest.fixture
def kit(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return write_kit(tmp_path)


def checked(name, options):
    return check_config(find_config(name), options, keep_sources=True)


def fault_of(name, **options):
    return only_fault(find_config(name), **options)


@pytest.mark.parametrize("name", ["Hook", "Net", "prompt"])
def test_only_keys_of_a_run_can_be_set_at_the_top(kit, name):
    """Neither an imported class nor a helper variable, whose value has been used by then."""
    fault = only_fault(kit, **{name: 1})
    assert (fault.key, fault.file) == (name, "--cfg-options")
    assert fault.message.startswith(f'there is no "{name}" in the config')


def test_only_keys_of_a_run_are_offered_at_the_top(kit):
    message = only_fault(kit, zzzzzzzz=1).message
    allowed = set(message.split("allowed: ")[1].split(" (given")[0].removesuffix(", …").split(", "))
    assert {"custom_hooks", "default_hooks", "env_cfg"} <= allowed
    assert not allowed & {"Hook", "Net", "Loop", "collate", "prompt", "read_base"}


def test_dicts_that_an_argument_takes_are_made(kit):
    options = {"model.loss.weight": 2.0, "env_cfg.mp_cfg.opencv_num_threads": 1, "default_hooks.checkpoint.interval": 7}
    cfg = check_config(kit, {**options, "optim_wrapper.paramwise_cfg.custom_keys.unet.lr_mult": 0.1})
    assert cfg.env_cfg == {"mp_cfg": {"opencv_num_threads": 1}}
    assert cfg.default_hooks == {"checkpoint": {"interval": 7}}
    assert cfg.optim_wrapper.paramwise_cfg.custom_keys.unet.lr_mult == 0.1


def test_a_dict_can_be_made_in_the_place_of_none(kit):
    write_config(kit.parent, "\nmodel.loss = None\nenv_cfg = None\n")
    cfg = check_config(kit, {"model.loss.weight": 2.0, "env_cfg.num_threads": 1})
    assert cfg._to_lazy_dict()["model"]["loss"] == {"weight": 2.0}
    assert cfg.env_cfg == {"num_threads": 1}


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("train_cfg.max_iters.x", "train_cfg.max_iters is 10, which has no keys"),
        ("model.depth.x", "model.depth is not set and can be no dict"),
        ("model.layers.0.rate", "model.layers is not set and can be no dict"),
        ("model.lossy.weight", 'there is no "lossy" in model; did you mean "loss"?'),
        ("train_cgf.x", 'there is no "train_cgf" in the config; did you mean "train_cfg"?'),
        ("default_hooks.chekpoint.interval", 'there is no "chekpoint" in default_hooks; did you mean "checkpoint"?'),
        ("env_cfg.0", 'there is no "0" in env_cfg'),
    ],
)
def test_what_no_argument_takes_is_refused(kit, key, words):
    fault = only_fault(kit, **{key: 3})
    assert (fault.key, fault.file) == (key, "--cfg-options")
    assert words in fault.message


def test_a_setting_that_a_class_of_ours_takes_can_be_new():
    name = "stable_diffusion_v15_dreambooth_lora_dog"
    options = {"model.generation.num_inference_steps": 10, "train_dataloader.dataset.data_root": "."}
    assert checked(name, options).model.generation.num_inference_steps == 10
    fault = fault_of(name, model__generation__num_inference_step=10, train_dataloader__dataset__data_root=".")
    assert (fault.key, fault.file) == ("model.generation.num_inference_step", "--cfg-options")
    assert 'did you mean "num_inference_steps"?' in fault.message


def test_a_tuner_can_be_added_with_its_type_and_not_without():
    tuner = {"type": "LoRATuner", "component": "text_encoder", "rank": 2}
    assert checked("mini_sd_text_to_image_lora", {"model.tuners.text": tuner}).model.tuners.text.rank == 2
    fault = fault_of("mini_sd_text_to_image_lora", model__tuners__unt__rank=2)
    assert 'there is no "unt" in model.tuners; did you mean "unet"?' in fault.message


def test_a_changed_type_is_to_blame_for_what_the_file_leaves():
    faults = faults_of(find_config(LORA), model__tuners__unet__type="FullTuner")
    assert {fault.key for fault in faults} == {"model.tuners.unet.rank", "model.tuners.unet.target_modules"}
    for fault in faults:
        assert (fault.file, fault.line) == ("--cfg-options", None)
        assert "; model.tuners.unet.type changes the type and leaves the rest of model.tuners.unet" in fault.message
        assert "assign the whole dict anew" not in fault.message


def test_what_a_changed_type_lacks_is_its_own_fault():
    fault = fault_of(LORA, train_dataloader__collate_fn__type="WindowCrop")
    assert (fault.key, fault.file) == ("train_dataloader.collate_fn.type", "--cfg-options")
    faults = faults_of(find_config("mini_sd_text_to_image"), train_dataloader__dataset__type="ConceptDataset")
    missing = next(fault for fault in faults if 'needs the argument "data_root"' in fault.message)
    assert (missing.key, missing.file) == ("train_dataloader.dataset", "--cfg-options")


def test_the_same_type_again_is_not_to_blame(kit):
    write_config(kit.parent, "\nmodel.update(widht=3)\n")
    fault = only_fault(kit, model__type="toykit.Net")
    assert (fault.key, fault.file) == ("model.widht", "run.py")


def test_the_advice_for_a_changed_type_works():
    tuner = {"_delete_": True, "type": "FullTuner", "component": "unet"}
    cfg = checked(LORA, {"model.tuners.unet": tuner})
    assert cfg._to_lazy_dict()["model"]["tuners"]["unet"] == {"type": "FullTuner", "component": "unet"}
    merged = faults_of(find_config(LORA), model__tuners__unet={"type": "FullTuner"})
    assert "give it as a whole, model.tuners.unet=\"{'_delete_': True, 'type': …}\"" in merged[0].message


def test_the_groups_of_a_measurement_are_looked_into():
    name = "mini_sd_test"
    assert faults_of(find_config(name), test_dataloader__dataset__groups__plain__n=8) == []
    fault = fault_of(name, test_dataloader__dataset__groups__plain__nn=8)
    assert fault.key == "test_dataloader.dataset.groups.plain.nn"
    fault = fault_of(name, test_dataloader__dataset__groups__plain=3)
    assert fault.key == "test_dataloader.dataset.groups.plain"
    assert "dict" in fault.message


@pytest.mark.parametrize("name", [LORA, "stable_diffusion_v15_text_to_image_lora"])
def test_a_choice_that_a_data_set_does_not_have_is_refused(name):
    faults = faults_of(find_config(name), train_dataloader__dataset__captions="onne")
    (fault,) = (fault for fault in faults if fault.key == "train_dataloader.dataset.captions")
    assert "captions must be one of auto, txt, metadata, none, got 'onne'" in fault.message
