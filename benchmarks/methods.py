"""What is compared: a peer's script with its arguments beside a config of diffkit's with its own, method by method.

Both train the same parts with the same optimizer, batch and precision (float32). Everything else is left as the
program has it by default, above all what it computes anew in every step.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROMPT, CLASS_PROMPT = "a photo of sks dog", "a photo of a dog"


@dataclass(frozen=True)
class Setting:
    """What both programs are given.

    Attributes:
        pipeline: a diffusers folder.
        pictures: a folder of pictures with ``metadata.csv``.
        instances: the same pictures alone.
        classes: a folder of pictures of the class.
        count: of the pictures in the first two folders.
        class_count: of those in the third.
        pixels: their height and width.
        batch: pictures of a step, without those of the class.
        rank: of adapters.
        seed: of both.
    """

    pipeline: Path
    pictures: Path
    instances: Path
    classes: Path
    count: int
    class_count: int
    pixels: int
    batch: int
    rank: int
    seed: int


Options = dict[str, Any]


@dataclass(frozen=True)
class Method:
    """One comparison.

    Attributes:
        label: in the table.
        script: of the peer, below its checkout.
        arguments: of the script, beside those that all have.
        config: of diffkit.
        options: that replace values of the config.
        goal: the least peer time / diffkit time that is asked for; None where nothing is.
        steps: N of the comparison.
        same_loss: the two losses of the first step have to agree; where not, ``differs`` says why.
        differs: see ``same_loss``.
        note: what is not as it would be without it.
        hooks: of diffkit, beside the default ones.
        loss_options: like ``options``, for the comparison of losses alone.
    """

    label: str
    script: str
    arguments: Callable[[Setting], Options]
    config: str
    options: Callable[[Setting], Options]
    goal: float | None
    steps: int = 2
    same_loss: bool = True
    differs: str = ""
    note: str = ""
    hooks: tuple[str, ...] = ()
    loss_options: Mapping[str, Any] = field(default_factory=dict)


def _instances(at: Setting) -> Options:
    return {"instance_data_dir": at.instances, "instance_prompt": PROMPT, "center_crop": True}


def _lora(at: Setting) -> Options:
    return {**_instances(at), "rank": at.rank, "learning_rate": 1e-4}


def _classes(at: Setting) -> Options:
    return {"with_prior_preservation": True, "class_data_dir": at.classes, "class_prompt": CLASS_PROMPT,
            "num_class_images": at.class_count}


def _own_instances(at: Setting) -> Options:
    return {"train_dataloader.dataset.data_root": str(at.instances), "train_dataloader.dataset.hflip": 0.0}


def _own_lora(at: Setting) -> Options:
    return {**_own_instances(at), "train_dataloader.dataset.instance_prompt": PROMPT,
            "model.tuners.unet.rank": at.rank}


def _own_classes(at: Setting) -> Options:
    return {"train_dataloader.dataset.class_prompt": CLASS_PROMPT,
            "train_dataloader.dataset.class_data_root": str(at.classes), "train_dataloader.dataset.num_class_images": 0}


def _captioned(at: Setting) -> Options:
    return {"train_data_dir": at.pictures, "caption_column": "text", "image_column": "image", "center_crop": True,
            "learning_rate": 1e-5}


def _own_captioned(at: Setting) -> Options:
    return {"train_dataloader.dataset.data_root": str(at.pictures), "train_dataloader.dataset.hflip": 0.0,
            "train_dataloader.dataset.center_crop": True, "model.gradient_checkpointing": False,
            "optim_wrapper.accumulative_counts": 1}


def _custom(at: Setting, augment: bool) -> Options:
    return {"instance_data_dir": at.instances, "instance_prompt": "photo of a <new1> cat", "center_crop": True,
            "modifier_token": "<new1>", "initializer_token": "a", **_classes(at), "class_prompt": "cat",
            "learning_rate": 1e-5, "noaug": not augment}


def _own_custom(at: Setting, augment: bool) -> Options:
    return {**_own_instances(at), "train_dataloader.dataset.class_data_root": str(at.classes),
            "train_dataloader.dataset.size_augment": augment, "model.tuners.word.initializer_token": "a"}


_DREAMBOOTH = "examples/dreambooth/train_dreambooth_lora.py"
_CUSTOM = "examples/custom_diffusion/train_custom_diffusion.py"
_MASK = ("the script divides the loss of an instance by its mask, which counts one channel of four and leaves out the "
         "border")

METHODS: dict[str, Method] = {
    "lora": Method(
        "DreamBooth, LoRA", _DREAMBOOTH, _lora, "stable_diffusion_v15_dreambooth_lora_dog", _own_lora, goal=1.6),
    "lora_prior": Method(
        "DreamBooth, LoRA, prior pictures", _DREAMBOOTH, lambda at: {**_lora(at), **_classes(at)},
        "stable_diffusion_v15_dreambooth_lora_dog", lambda at: {**_own_lora(at), **_own_classes(at)}, goal=1.7),
    "textual_inversion": Method(
        "Textual inversion", "examples/textual_inversion/textual_inversion.py",
        lambda at: {"train_data_dir": at.instances, "placeholder_token": "<dog>", "initializer_token": "a",
                    "learnable_property": "object", "num_vectors": 1, "learning_rate": 5e-4, "center_crop": True},
        "stable_diffusion_v15_textual_inversion_face",
        lambda at: {**_own_instances(at), "train_dataloader.dataset.learnable_property": "object",
                    "train_dataloader.dataset.placeholder": "<dog>", "model.tuners.word.num_vectors": 1,
                    "model.tuners.word.placeholder_token": "<dog>", "model.tuners.word.initializer_token": "a",
                    "optim_wrapper.clip_grad": None},
        goal=1.5, loss_options={"train_dataloader.dataset.learnable_property": None,
                                "train_dataloader.dataset.instance_prompt": "a photo of a {}"},
        note="the script mirrors half of the pictures, diffkit none: a mirrored one is encoded once more"),
    "custom_diffusion": Method(
        "Custom Diffusion, prior pictures", _CUSTOM, lambda at: _custom(at, augment=True),
        "stable_diffusion_v14_custom_diffusion_cat", lambda at: _own_custom(at, augment=True), goal=1.7,
        same_loss=False, differs=_MASK,
        note="with the sizes of the instance drawn anew in every step, as both have it by default: its latents are not "
             "cached"),
    "custom_diffusion_noaug": Method(
        "Custom Diffusion, prior pictures, sizes as they are", _CUSTOM, lambda at: _custom(at, augment=False),
        "stable_diffusion_v14_custom_diffusion_cat", lambda at: _own_custom(at, augment=False), goal=1.7,
        same_loss=False, differs=_MASK, note="`--noaug`, `size_augment=False`"),
    "full_ema": Method(
        "Full fine-tuning, EMA", "examples/text_to_image/train_text_to_image.py",
        lambda at: {**_captioned(at), "use_ema": True}, "stable_diffusion_v15_text_to_image", _own_captioned,
        goal=1.35, hooks=("EMAHook",)),
    "kd": Method(
        "Block removal with distillation (segmind)", "distill_training.py",
        lambda at: {**_captioned(at), "distill_level": "sd_small", "prepare_unet": "True", "output_weight": 0.5,
                    "feature_weight": 0.5},
        "stable_diffusion_v15_small",
        lambda at: {**_own_captioned(at), "model.distiller.dtype": "float32"}, goal=1.45),
}
