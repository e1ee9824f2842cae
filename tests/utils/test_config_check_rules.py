"""Options that exclude each other, one rule at a time."""

from pathlib import Path

import pytest

from diffkit.utils.config_check import cache_rules, machine, rules
from diffkit.utils.config_check.rules import RULES, View


def conflicts(rule, **cfg):
    """Returns the keys that a rule finds in a config."""
    return [key for key, _ in rule(View(cfg))]


def training(**dataset):
    return {"dataset": dict(type="ConceptDataset", **dataset)}


def lora(component="unet"):
    return dict(type="LoRATuner", component=component)


def test_a_split_is_whole_or_absent():
    rule = rules.whole_splits
    assert conflicts(rule) == []
    assert conflicts(rule, val_cfg={}, val_dataloader={}, val_evaluator={}) == []
    assert conflicts(rule, val_cfg=None, val_dataloader=None) == []
    assert conflicts(rule, val_cfg={}) == ["val_cfg"]
    assert conflicts(rule, train_cfg={}, train_dataloader=None, optim_wrapper={}) == ["train_dataloader"]
    assert conflicts(rule, test_dataloader={}, test_evaluator=[]) == ["test_dataloader"]


def test_latents_are_kept_only_when_they_stay_right():
    rule = cache_rules.latent_cache
    model = dict(tuners=dict(a=lora()), cache_latents=True)
    crop = dict(type="diffkit.datasets.RandomCrop", size=64)
    flip = dict(type="RandomHorizontalFlip")
    assert conflicts(rule, model=model, train_dataloader=training(transforms=[flip])) == []
    assert conflicts(rule, model=dict(tuners=dict(v=lora("vae")))) == []
    assert conflicts(rule, model=dict(model, tuners=dict(v=lora("vae")))) == ["model.cache_latents"]
    assert conflicts(rule, model=model, train_dataloader=training(transforms=[crop])) == ["model.cache_latents"]
    assert conflicts(rule, model=model, train_dataloader=training(center_crop=False)) == ["model.cache_latents"]


def test_buckets_need_batches_of_one_size_and_sides_of_a_common_step():
    rule, key = rules.buckets, "train_dataloader"

    def loaded(sampler, batch=4, kind="ConceptDataset", hooks=(), **dataset):
        loader = dict(sampler=dict(type=sampler), batch_size=batch, dataset=dict(type=kind, **dataset))
        return conflicts(rule, train_dataloader=loader, custom_hooks=list(hooks))

    assert conflicts(rule) == loaded("DrawSampler") == loaded("BucketSampler", buckets={}) == []
    assert loaded("DrawSampler", buckets={}) == [f"{key}.sampler"] == loaded("BucketSampler")
    assert loaded("DrawSampler", 1, buckets={}) == []
    assert loaded("BucketSampler", kind="TarImageText") == [f"{key}.sampler"]
    assert loaded("BucketSampler", kind="mine.Data") == [], "it may have item_shapes()"
    resolutions = {512: [], 500: [1], 32: [1], (512, 768): [], (500, 512, 520): [1, 1]}
    for given, found in resolutions.items():
        assert loaded("BucketSampler", buckets={}, resolution=given) == [f"{key}.dataset.resolution"] * len(found)
    assert loaded("BucketSampler", buckets=dict(step=40), resolution=520) == []
    assert loaded("BucketSampler", buckets=dict(step=24)) == [f"{key}.dataset.resolution"], "512 is the default"
    hook = dict(type="QuantizationHook")
    assert loaded("BucketSampler", buckets={}, hooks=[hook]) == ["custom_hooks.0"]
    assert loaded("DrawSampler", hooks=[hook]) == []


def test_texts_are_kept_only_while_the_encoders_are_frozen():
    rule = cache_rules.text_cache
    assert conflicts(rule, model=dict(cache_text=True, tuners=dict(a=lora()))) == []
    for component in ("text_encoder", "text_encoder_2"):
        model = dict(cache_text=True, tuners=dict(a=lora(), b=lora(component)))
        assert conflicts(rule, model=model) == ["model.cache_text"]
    model = dict(cache_text="disk", quantizer=dict(type="QATQuantizer", component="text_encoder"))
    assert conflicts(rule, model=model) == ["model.cache_text"]


@pytest.mark.parametrize(
    ("model", "data", "reason"),
    [
        (dict(tuners=dict(v=lora("vae"))), {}, "while the VAE is trained (model.tuners.v)"),
        ({}, dict(center_crop=False), "with random crops (train_dataloader.dataset.center_crop=False): no picture"),
        ({}, dict(size_augment=True), "with train_dataloader.dataset.size_augment: no picture comes twice"),
        ({}, dict(transforms=[dict(type="ColorJitter")]), "with the random augmentation ColorJitter (train_data"),
    ],
)
@pytest.mark.parametrize("asked", [None, False, True, "disk"])
def test_a_cache_that_is_asked_for_is_refused_and_another_is_off_with_a_line(model, data, reason, asked):
    said = dict(model, **({} if asked is None else dict(cache_latents=asked)), type="LatentDiffusion")
    view = View(dict(model=said, train_dataloader=training(**data)))
    found = list(cache_rules.latent_cache(view)), list(cache_rules.cache_notes(view))
    (line,) = found[0] + found[1] or [("", "")]
    if asked:
        assert line[0] == "model.cache_latents" and line[1].startswith(f"cannot be {asked!r} {reason}")
    elif asked is None:
        assert line[0] == "model.cache_latents" and line[1].startswith(f"is off {reason}")
    else:
        assert found == ([], [])


def test_a_folder_of_caches_wants_something_on_disk():
    rule = cache_rules.folder_of_caches
    assert conflicts(rule, model=dict(cache_folder="x", cache_text="disk")) == conflicts(rule, model={}) == []
    assert conflicts(rule, model=dict(cache_folder="x", cache_text=True)) == ["model.cache_folder"]


@pytest.mark.parametrize(
    ("dtype", "gpu", "found"),
    [("float16", False, ["optim_wrapper.dtype"]), ("float16", True, []), ("bfloat16", False, []), (None, False, [])],
)
def test_float16_needs_a_gpu(monkeypatch, dtype, gpu, found):
    monkeypatch.setattr(rules, "has_gpu", lambda: gpu)
    assert conflicts(rules.half_precision, optim_wrapper=dict(dtype=dtype)) == found


def test_a_hidden_gpu_is_none(monkeypatch):
    monkeypatch.setattr(machine.platform, "system", lambda: "Linux")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert not machine.has_gpu()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(Path, "exists", lambda path: str(path) == "/dev/nvidiactl")
    assert machine.has_gpu()


def test_weights_come_from_one_place():
    rule = rules.weights_from_somewhere
    assert conflicts(rule, model=dict(pretrained="mini-sd", family={})) == []
    assert conflicts(rule, model=dict(pretrained=None, family=dict(scratch={}))) == []
    assert conflicts(rule, model=dict(pretrained="x", family=dict(scratch={}))) == ["model.pretrained"]
    assert conflicts(rule, model=dict(pretrained=None, family={})) == ["model.pretrained"]


def test_a_prior_weight_needs_prior_pictures():
    rule = rules.prior_weight
    assert conflicts(rule, model=dict(prior_loss_weight=1.0), train_dataloader=training()) == []
    assert conflicts(rule, model=dict(prior_loss_weight=0.5), train_dataloader=training(num_class_images=3)) == []
    assert conflicts(rule, model=dict(prior_loss_weight=0.5), train_dataloader=training(class_data_root="x")) == []
    found = conflicts(rule, model=dict(prior_loss_weight=0.5), train_dataloader=training())
    assert found == ["model.prior_loss_weight"]


def test_missing_prior_pictures_need_a_hook_and_a_prompt(tmp_path):
    rule = rules.prior_pictures
    data = training(num_class_images=2, class_prompt="a dog")
    hook = [dict(type="diffkit.engine.hooks.PriorImagesHook")]
    key = "train_dataloader.dataset"
    assert conflicts(rule, train_dataloader=data, custom_hooks=hook) == []
    assert conflicts(rule, train_dataloader=data) == [f"{key}.num_class_images"]
    assert conflicts(rule, train_dataloader=training(num_class_images=2), custom_hooks=hook) == [f"{key}.class_prompt"]
    full = training(num_class_images=2, class_data_root=str(tmp_path))
    assert len(conflicts(rule, train_dataloader=full)) == 2
    for name in ("a.png", "b.JPG", "notes.txt"):
        (tmp_path / name).touch()
    assert conflicts(rule, train_dataloader=full) == []
    assert conflicts(rule, train_dataloader=training(num_class_images=2, class_data_root="shapes:scenes")) == []


def test_each_concept_of_a_list_needs_its_prior_pictures():
    def listed(*concepts, **options):
        return dict(dataset=dict(type="diffkit.datasets.ConceptListDataset", concepts=list(concepts), **options))

    cat, pot = dict(data_root="cat", class_prompt="cat"), dict(data_root="pot")
    hook, key = [dict(type="diffkit.engine.hooks.PriorImagesHook")], "train_dataloader.dataset.concepts"
    rule = rules.prior_pictures
    assert conflicts(rule, train_dataloader=listed(cat, pot, num_class_images=2), custom_hooks=hook) == []
    assert conflicts(rule, train_dataloader=listed(cat, pot)) == []
    assert conflicts(rule, train_dataloader=listed(cat, pot, num_class_images=2)) == [f"{key}.0.num_class_images"]
    own = dict(pot, num_class_images=3)
    assert conflicts(rule, train_dataloader=listed(cat, own), custom_hooks=hook) == [f"{key}.1.class_prompt"]
    rule = rules.prior_weight
    assert conflicts(rule, model=dict(prior_loss_weight=0.25), train_dataloader=listed(pot)) == [
        "model.prior_loss_weight"]
    assert conflicts(rule, model=dict(prior_loss_weight=0.25), train_dataloader=listed(cat, num_class_images=2)) == []


def test_latents_of_pictures_at_random_sizes_cannot_be_kept():
    rule = cache_rules.latent_cache
    data = training(size_augment=True)
    assert conflicts(rule, model=dict(cache_latents=True), train_dataloader=data) == ["model.cache_latents"]
    assert conflicts(rule, model=dict(), train_dataloader=data) == []
    data = training(transforms=[dict(type="SizeAugment", size=8)])
    assert conflicts(rule, model=dict(cache_latents=True), train_dataloader=data) == ["model.cache_latents"]


def test_schedules_count_steps():
    rule = rules.schedules_count_steps
    assert conflicts(rule, param_scheduler=[dict(type="LinearLR", by_epoch=False)]) == []
    assert conflicts(rule, param_scheduler=[{}, dict(by_epoch=True)]) == ["param_scheduler.1.by_epoch"]
    assert conflicts(rule, param_scheduler=dict(type="LinearLR", by_epoch=True)) == ["param_scheduler.by_epoch"]


def test_groups_of_parameters_have_two_options():
    rule, where = rules.parameter_groups, "optim_wrapper.paramwise_cfg"
    good = dict(custom_keys=dict(text_encoder=dict(lr_mult=0.1, decay_mult=0.0)))
    assert conflicts(rule, optim_wrapper=dict(paramwise_cfg=good)) == []
    assert conflicts(rule, optim_wrapper=dict(paramwise_cfg=dict(custom_key={}))) == [f"{where}.custom_key"]
    bad = dict(custom_keys=dict(text_encoder=dict(lr_mul=0.1)))
    assert conflicts(rule, optim_wrapper=dict(paramwise_cfg=bad)) == [f"{where}.custom_keys.text_encoder.lr_mul"]
    assert conflicts(rule, optim_wrapper=dict(constructor="Mine", paramwise_cfg=dict(norm_decay_mult=0))) == []


def test_the_learning_rate_is_scaled_one_way():
    assert conflicts(rules.learning_rate_scale, auto_scale_lr=dict(base_batch_size=3)) == ["auto_scale_lr"]
    assert conflicts(rules.learning_rate_scale, scale_lr=True) == []


def test_a_training_starts_one_way():
    assert conflicts(rules.one_start, resume=True, load_from="x") == ["resume"]
    assert conflicts(rules.one_start, resume=True, load_from=None) == []


def test_a_component_has_one_adapter():
    rule = rules.one_adapter
    assert conflicts(rule, model=dict(tuners=dict(a=lora(), b=lora("text_encoder")))) == []
    assert conflicts(rule, model=dict(tuners=dict(a=lora(), b=dict(type="LoRATuner")))) == ["model.tuners.b"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("value", [None, 3, "text", [], [1], {"dataset": 3}, {"tuners": [3], "family": 2}])
def test_no_rule_breaks_on_a_broken_config(rule, value):
    """The rules run on configs with other faults too."""
    names = ["model", "train_dataloader", "optim_wrapper", "param_scheduler", "custom_hooks", "val_cfg", "resume"]
    conflicts(rule, **dict.fromkeys(names, value))


def test_a_data_set_of_the_hub_needs_its_package(monkeypatch):
    rule = rules.optional_packages
    hub = {"dataset": dict(type="HubImageText", data_root="owner/name")}
    monkeypatch.setattr(rules, "is_installed", lambda name: name != "datasets")
    assert conflicts(rule, train_dataloader=hub) == ["train_dataloader.dataset.type"]
    assert conflicts(rule, test_dataloader=hub) == ["test_dataloader.dataset.type"]
    assert conflicts(rule, train_dataloader=training()) == []
    monkeypatch.setattr(rules, "is_installed", lambda name: True)
    assert conflicts(rule, train_dataloader=hub) == []
