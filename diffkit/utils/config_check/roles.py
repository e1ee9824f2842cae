"""What each place of a config stands for: what MMEngine fills in, and what a missing type means."""

from dataclasses import dataclass
from functools import lru_cache

from diffkit.utils.config_check.symbols import Definition

_SCHEMA = "diffkit.utils.config_check.schema"


@dataclass(frozen=True)
class Role:
    """The role of the dict at a place of the config.

    Attributes:
        pattern: the key path; ``*`` stands for one name or index, ``#`` for an index.
        registry: the registry of diffkit that holds what may stand here, if there is one.
        untyped: the class or schema that a dict without ``type`` is held against.
        plain: whether ``type`` is an ordinary key here.
        supplied: the arguments that the Runner gives when it builds the object.
        extras: a schema of keys that the Runner takes out before it builds the object.
        partial: whether the function is called later, with further arguments.
        names: the usual keys of a dict whose keys are free.
    """

    pattern: str
    registry: str = ""
    untyped: str = ""
    plain: bool = False
    supplied: tuple[str, ...] = ()
    extras: str = ""
    partial: bool = False
    names: tuple[str, ...] = ()

    @property
    def needs_type(self) -> bool:
        """Whether a dict without a type can not be built."""
        return bool(self.registry) and not self.untyped


def _schema(name: str) -> str:
    return f"{_SCHEMA}.{name}"


CONFIG = _schema("config")
RUNNER = "diffkit.engine.runner.Runner"  # what trains when the config has no runner_type
DEFAULT_HOOKS = {  # the hooks that the runner adds by itself; a config may set their arguments without a type
    "runtime_info": "mmengine.hooks.RuntimeInfoHook",
    "timer": "mmengine.hooks.IterTimerHook",
    "logger": "mmengine.hooks.LoggerHook",
    "param_scheduler": "diffkit.engine.hooks.ParamSchedulerHook",
    "checkpoint": "diffkit.engine.hooks.CheckpointHook",
    "preflight": "diffkit.engine.hooks.PreflightHook",
    "progress": "diffkit.engine.hooks.ProgressHook",
    "cost": "diffkit.engine.hooks.CostHook",
    "compile_report": "diffkit.engine.hooks.CompileReportHook",
}
ROLES = (
    Role("model", "MODELS"),
    Role("model.family", "FAMILIES"),
    Role("model.family.scratch", untyped=_schema("scratch"), plain=True),
    Role("model.family.scratch.unet", untyped="diffusers.models.UNet2DConditionModel", plain=True),
    Role("model.family.scratch.vae", untyped="diffusers.models.AutoencoderKL", plain=True),
    Role(
        "model.family.scratch.tokenizer",
        untyped="diffkit.models.families.scratch.build_tokenizer",
        plain=True,
    ),
    Role("model.family.scratch.text_encoder", untyped="transformers.models.clip.CLIPTextConfig", plain=True),
    Role("model.family.scratch.text_encoder_2", untyped="transformers.models.clip.CLIPTextConfig", plain=True),
    Role("model.family.scratch.scheduler", untyped="diffusers.schedulers.DDPMScheduler", plain=True),
    Role("model.objective", "OBJECTIVES"),
    Role("model.objective.loss", "LOSSES"),
    Role("model.objective.weighting", "LOSSES"),
    Role("model.objective.noise", "NOISES"),
    Role("model.objective.timesteps", "TIMESTEPS"),
    Role("model.tuners.*", "TUNERS"),
    Role("model.pruner", "PRUNERS"),
    Role("model.quantizer", "QUANTIZERS"),
    Role("model.distiller", "DISTILLERS"),
    Role("model.distiller.loss", "LOSSES"),
    Role(
        "model.distiller.objectives.*",
        untyped="diffkit.models.distillers.objective.DistillObjective",
        plain=True,
        names=("loss_output", "loss_feature"),
    ),
    Role("model.distiller.objectives.*.loss", "LOSSES"),
    Role(
        "model_wrapper_cfg",
        "MODEL_WRAPPERS",
        "mmengine.model.MMDistributedDataParallel",
        supplied=("module", "device_ids"),
    ),
    Role("train_cfg", "LOOPS", "diffkit.engine.loops.StepLoop", supplied=("runner", "dataloader")),
    Role("val_cfg", "LOOPS", _schema("loop"), supplied=("runner", "dataloader", "evaluator")),
    Role("test_cfg", "LOOPS", _schema("loop"), supplied=("runner", "dataloader", "evaluator")),
    *(
        role
        for split in ("train", "val", "test")
        for role in (
            Role(f"{split}_dataloader", untyped=_schema("dataloader"), plain=True),
            Role(f"{split}_dataloader.dataset", "DATASETS"),
            Role(f"{split}_dataloader.dataset.concepts.#", untyped=_schema("concept"), plain=True),
            Role(
                f"{split}_dataloader.dataset.buckets",
                untyped="diffkit.datasets.transforms.buckets.AspectBuckets",
                plain=True,
            ),
            Role(f"{split}_dataloader.sampler", "DATA_SAMPLERS", supplied=("dataset", "seed")),
            Role(f"{split}_dataloader.batch_sampler", "DATA_SAMPLERS", supplied=("sampler", "batch_size")),
            Role(f"{split}_dataloader.collate_fn", "FUNCTIONS", partial=True),
            Role(f"{split}_dataloader.worker_init_fn", "FUNCTIONS", partial=True),
        )
    ),
    Role("val_evaluator", "METRICS", "mmengine.evaluator.Evaluator"),
    Role("val_evaluator.#", "METRICS"),
    Role("val_evaluator.metrics.#", "METRICS"),
    Role("test_evaluator", "METRICS", "mmengine.evaluator.Evaluator"),
    Role("test_evaluator.#", "METRICS"),
    Role("test_evaluator.metrics.#", "METRICS"),
    Role(
        "optim_wrapper",
        "OPTIM_WRAPPERS",
        "diffkit.engine.optim.OptimWrapper",
        extras=_schema("optim_wrapper_extras"),
    ),
    Role("optim_wrapper.optimizer", "OPTIMIZERS", supplied=("params",)),
    Role("optim_wrapper.clip_grad", untyped=_schema("clip_grad"), plain=True),
    Role(
        "param_scheduler",
        "PARAM_SCHEDULERS",
        supplied=("optimizer",),
        extras=_schema("param_scheduler_extras"),
    ),
    Role(
        "param_scheduler.#",
        "PARAM_SCHEDULERS",
        supplied=("optimizer",),
        extras=_schema("param_scheduler_extras"),
    ),
    Role("default_hooks", names=tuple(DEFAULT_HOOKS)),
    *(Role(f"default_hooks.{name}", "HOOKS", hook) for name, hook in DEFAULT_HOOKS.items()),
    Role("default_hooks.*", "HOOKS"),
    Role("custom_hooks.#", "HOOKS"),
    Role("log_processor", "LOG_PROCESSORS", "mmengine.runner.LogProcessor"),
    Role("visualizer", "VISUALIZERS", "mmengine.visualization.Visualizer", supplied=("name", "save_dir")),
    Role("visualizer.vis_backends.#", "VISBACKENDS", supplied=("save_dir",)),
    Role("env_cfg", untyped=_schema("env_cfg"), plain=True),
    Role("env_cfg.mp_cfg", untyped=_schema("mp_cfg"), plain=True),
    Role("randomness", untyped=_schema("randomness"), plain=True),
    Role("auto_scale_lr", untyped=_schema("auto_scale_lr"), plain=True),
    Role("custom_imports", untyped=_schema("custom_imports"), plain=True),
)
_NO_ROLE = Role("")


@lru_cache(maxsize=4096)
def role_of(key: str) -> Role:
    """Returns the role of a key path; one without a name for places that have no special role."""
    names = key.split(".")
    for role in ROLES:
        pattern = role.pattern.split(".")
        if len(pattern) == len(names) and all(map(_stands_for, pattern, names)):
            return role
    return _NO_ROLE


def _stands_for(part: str, name: str) -> bool:
    return part in (name, "*") or (part == "#" and name.isdigit())


def is_schema(target: Definition) -> bool:
    """Returns whether a definition describes a place of the config, not an object that is built."""
    return target.source.name == _SCHEMA
