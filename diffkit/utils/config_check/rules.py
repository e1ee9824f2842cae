"""Options that exclude each other. A rule sees the whole config and yields (key, message) for each conflict.

What one class can tell from its own arguments belongs into its constructor, as ``if …: raise ValueError(…)``;
the check finds it there (see guards.py). Here stands what needs a look at two places of the config.
"""

from collections.abc import Callable, Iterator
from typing import Any

from diffkit.utils.config_check.imported import dotted_name, is_imported
from diffkit.utils.config_check.machine import has_gpu, images_in
from diffkit.utils.config_check.source import is_installed
from diffkit.utils.near import did_you_mean

Conflicts = Iterator[tuple[str, str]]
RULES: list[Callable[["View"], Conflicts]] = []
_SPLITS = {
    "train": ("train_cfg", "train_dataloader", "optim_wrapper"),
    "val": ("val_cfg", "val_dataloader", "val_evaluator"),
    "test": ("test_cfg", "test_dataloader", "test_evaluator"),
}


class View:
    """A config as the rules see it: plain dicts, asked for by key path."""

    def __init__(self, cfg: dict[str, Any]) -> None:
        self.cfg = cfg

    def get(self, key: str, default: Any = None) -> Any:
        """Returns the value at a key path, or the default where there is none."""
        node: Any = self.cfg
        for name in key.split("."):
            if not isinstance(node, dict) or name not in node:
                return default
            node = node[name]
        return node

    def node(self, key: str) -> dict[str, Any]:
        """Returns the dict at a key path, or an empty one."""
        value = self.get(key)
        return value if isinstance(value, dict) else {}

    def items(self, key: str) -> list[tuple[str, dict[str, Any]]]:
        """Returns the dicts in the list or dict at a key, with their key paths."""
        value = self.get(key)
        pairs = (
            value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list | tuple) else ())
        )
        return [(f"{key}.{name}", item) for name, item in pairs if isinstance(item, dict)]

    def tuners(self, component: str) -> list[str]:
        """Returns the key paths of the tuners of a component; ``text_encoder`` stands for both encoders."""
        return [
            key
            for key, tuner in self.items("model.tuners")
            if str(tuner.get("component", "unet")).startswith(component)
        ]


def type_name(node: Any) -> str:
    """Returns the name of the class that a dict is an instance of, without its module."""
    given = node.get("type") if isinstance(node, dict) else None
    name = dotted_name(given) if is_imported(given) else getattr(given, "__name__", given)
    return str(name or "").rpartition(".")[2]


def rule(function: Callable[[View], Conflicts]) -> Callable[[View], Conflicts]:
    """Adds a rule to the table."""
    RULES.append(function)
    return function


@rule
def whole_splits(view: View) -> Conflicts:
    """MMEngine wants all three parts of a training, a validation or a test, or none."""
    for split, names in _SPLITS.items():
        missing = [name for name in names if view.get(name) is None]
        given = [name for name in names if name not in missing]
        if missing and given:
            odd = missing[0] if len(missing) == 1 and missing[0] in view.cfg else given[0]
            what = f"{split} needs all of {', '.join(names)}, or none of them"
            yield odd, f"{what}; not set: {', '.join(missing)}"


@rule
def buckets(view: View) -> Conflicts:
    """Pictures of several sizes need batches of one size each, and their sides a common step."""
    loader, dataset = view.node("train_dataloader"), view.node("train_dataloader.dataset")
    sorts = type_name(loader.get("sampler")) == "BucketSampler"
    sizes = dataset.get("buckets")
    if isinstance(sizes, dict):
        if not sorts and loader.get("sampler") and loader.get("batch_size", 1) != 1:
            yield ("train_dataloader.sampler", "mixes pictures of all sizes, and a batch has one: with "
                   "train_dataloader.dataset.buckets it has to be dict(type=BucketSampler)")
        step, given = sizes.get("step", 64), dataset.get("resolution", 512)
        for side in given if isinstance(given, list | tuple) else [given]:
            if isinstance(side, int) and isinstance(step, int) and step > 0 and not step % 8 and side % step:
                yield ("train_dataloader.dataset.resolution",
                       f"must be a multiple of buckets.step, which is {step}, got {side}")
        for place in ("custom_hooks", "default_hooks"):
            for key, hook in view.items(place):
                if type_name(hook) == "QuantizationHook":
                    yield key, ("QuantizationHook compares pictures of one size: leave it out, or "
                                "train_dataloader.dataset.buckets")
    elif sorts and type_name(dataset) == "TarImageText":
        yield ("train_dataloader.sampler", "BucketSampler cannot sort tar shards by shape: take ShardSampler, or "
               "unpack them into a folder for ImageTextDataset")
    elif sorts and type_name(dataset) in ("ConceptDataset", "ConceptListDataset", "ImageTextDataset", "HubImageText"):
        yield ("train_dataloader.sampler", "BucketSampler needs buckets: set train_dataloader.dataset.buckets, "
               "as dict(max_ratio=2.0), or take DrawSampler")


@rule
def half_precision(view: View) -> Conflicts:
    """float16 needs a CUDA device."""
    if view.get("optim_wrapper.dtype") == "float16" and not has_gpu():
        yield (
            "optim_wrapper.dtype",
            "float16 needs a CUDA device, and there is none here; bfloat16 works on the CPU",
        )


@rule
def weights_from_somewhere(view: View) -> Conflicts:
    """A model comes from pretrained weights or from scratch."""
    scratch, pretrained = view.get("model.family.scratch"), view.get("model.pretrained")
    if scratch is not None and pretrained is not None:
        yield (
            "model.pretrained",
            f"is {pretrained!r}, but model.family.scratch builds random weights; set one to None",
        )
    if scratch is None and pretrained is None and "pretrained" in view.node("model"):
        yield "model.pretrained", "is None, and there is no model.family.scratch to build the model from"


@rule
def prior_weight(view: View) -> Conflicts:
    """A weight of the prior has no effect without prior pictures."""
    weight = view.get("model.prior_loss_weight", 1.0)
    concepts = [concept for _, concept in _concepts(view)]
    has_prior = any(bool(one.get("num_class_images")) or one.get("class_data_root") is not None for one in concepts)
    if weight != 1.0 and concepts and not has_prior:
        yield (
            "model.prior_loss_weight",
            f"is {weight}, but train_dataloader.dataset has no prior pictures; set its "
            "num_class_images or class_data_root",
        )


@rule
def prior_pictures(view: View) -> Conflicts:
    """Prior pictures that are missing are generated by a hook, from a prompt."""
    for key, concept in _concepts(view):
        number, root = concept.get("num_class_images"), concept.get("class_data_root")
        if not isinstance(number, int) or number < 1:
            continue
        if isinstance(root, str) and (root.startswith("shapes:") or images_in(root) >= number):
            continue
        if not concept.get("class_prompt"):
            yield f"{key}.class_prompt", "must be set: prior pictures are generated from it"
        if all(
            type_name(hook) != "PriorImagesHook"
            for place in ("custom_hooks", "default_hooks")
            for _, hook in view.items(place)
        ):
            yield (
                f"{key}.num_class_images",
                f"is {number}, and nothing generates them: add dict(type=PriorImagesHook) to custom_hooks",
            )


def _concepts(view: View) -> list[tuple[str, dict[str, Any]]]:
    """The concepts of the training data and their key paths: of one, that of the dataset."""
    key = "train_dataloader.dataset"
    dataset = view.node(key)
    if type_name(dataset) == "ConceptDataset":
        return [(key, dataset)]
    if type_name(dataset) != "ConceptListDataset":
        return []
    number = dataset.get("num_class_images", 0)
    return [(place, {"num_class_images": number, **concept} if _names_prior(concept) else concept)
            for place, concept in view.items(f"{key}.concepts")]


def _names_prior(concept: dict[str, Any]) -> bool:
    return bool(concept.get("class_prompt") or concept.get("class_data_root"))


@rule
def schedules_count_steps(view: View) -> Conflicts:
    """Schedules count optimizer steps, never epochs."""
    schedulers = view.items("param_scheduler")
    if "type" in view.node("param_scheduler"):
        schedulers = [("param_scheduler", view.get("param_scheduler"))]
    for key, scheduler in schedulers:
        for name in ("by_epoch", "convert_to_iter_based"):
            if scheduler.get(name):
                yield f"{key}.{name}", "is not supported: schedules count optimizer steps"


@rule
def parameter_groups(view: View) -> Conflicts:
    """diffkit's constructor of optimizers knows groups of parameters by their names, and two options for each."""
    if view.get("optim_wrapper.constructor") is not None:
        return
    where = "optim_wrapper.paramwise_cfg"
    for name in view.node(where):
        if name != "custom_keys":
            yield f"{where}.{name}", f"no such key{did_you_mean(name, ['custom_keys'])}"
    for key, options in view.items(f"{where}.custom_keys"):
        for name in options:
            if name not in ("lr_mult", "decay_mult"):
                yield f"{key}.{name}", f"no such key{did_you_mean(name, ['lr_mult', 'decay_mult'])}"


@rule
def learning_rate_scale(view: View) -> Conflicts:
    """diffkit scales the learning rate by a switch of its own."""
    if view.get("auto_scale_lr"):
        yield (
            "auto_scale_lr",
            "is not supported; scale_lr=True multiplies lr by accumulation, batch and processes",
        )


@rule
def one_start(view: View) -> Conflicts:
    """A training goes on from a checkpoint, or begins with the weights of one."""
    if view.get("resume") and view.get("load_from"):
        yield "resume", "cannot be set together with load_from: resume brings its own weights"


@rule
def one_adapter(view: View) -> Conflicts:
    """A component carries one LoRA adapter."""
    seen: dict[str, str] = {}
    for key, tuner in view.items("model.tuners"):
        component = str(tuner.get("component", "unet"))
        if type_name(tuner) == "LoRATuner" and seen.setdefault(component, key) != key:
            yield (
                key,
                f"{component} has a LoRA adapter already ({seen[component]}); one tuner can take all layers",
            )


@rule
def optional_packages(view: View) -> Conflicts:
    """A data set of the hub and a quantizer need packages that may not be there."""
    for split in _SPLITS:
        key = f"{split}_dataloader.dataset"
        if type_name(view.node(key)) == "HubImageText" and not is_installed("datasets"):
            yield f"{key}.type", "HubImageText needs the package `datasets`: pip install datasets"
    if type_name(view.node("model.quantizer")) == "NeuralCompressorQuantizer" and not is_installed("neural_compressor"):
        yield "model.quantizer.type", ("NeuralCompressorQuantizer needs the package `neural-compressor`: "
                                       "pip install 'neural-compressor[pt]'")
