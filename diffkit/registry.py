"""The registries of diffkit: one for each kind of object that a config can name.

A kind that MMEngine knows is a child of MMEngine's registry, so that its classes (``LoggerHook``, ``LinearLR`` …)
are found too. A kind of our own is a root. MMEngine admits only one child for each parent and scope, and it looks
for a child of ours at every root, so each parent has exactly one here.
"""

from mmengine import registry as mm
from mmengine.registry import Registry

SCOPE = "diffkit"


def _child(name: str, parent: Registry, *locations: str) -> Registry:
    return Registry(name, parent=parent, scope=SCOPE, locations=list(locations))


def _root(name: str, *locations: str) -> Registry:
    return Registry(name, scope=SCOPE, locations=list(locations))


MODELS = _child("model", mm.MODELS, "diffkit.models")
DATASETS = _child("dataset", mm.DATASETS, "diffkit.datasets")
DATA_SAMPLERS = _child("data sampler", mm.DATA_SAMPLERS, "diffkit.datasets")
TRANSFORMS = _child("transform", mm.TRANSFORMS, "diffkit.datasets")
FUNCTIONS = _child("function", mm.FUNCTIONS, "diffkit.datasets")
RUNNERS = _child("runner", mm.RUNNERS, "diffkit.engine")
LOOPS = _child("loop", mm.LOOPS, "diffkit.engine")
HOOKS = _child("hook", mm.HOOKS, "diffkit.engine")
LOG_PROCESSORS = _child("log processor", mm.LOG_PROCESSORS, "diffkit.engine")
OPTIM_WRAPPERS = _child("optim wrapper", mm.OPTIM_WRAPPERS, "diffkit.engine")
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    "optim wrapper constructor", mm.OPTIM_WRAPPER_CONSTRUCTORS, "diffkit.engine")
OPTIMIZERS = _child("optimizer", mm.OPTIMIZERS, "diffkit.engine")
PARAM_SCHEDULERS = _child("parameter scheduler", mm.PARAM_SCHEDULERS, "diffkit.engine")
MODEL_WRAPPERS = _child("model wrapper", mm.MODEL_WRAPPERS, "diffkit.engine")
WEIGHT_INITIALIZERS = _child("weight initializer", mm.WEIGHT_INITIALIZERS, "diffkit.models")
STRATEGIES = _child("strategy", mm.STRATEGIES, "diffkit.engine")
INFERENCERS = _child("inferencer", mm.INFERENCERS, "diffkit.apis")
TASK_UTILS = _child("task util", mm.TASK_UTILS, "diffkit.models")
EVALUATOR = _child("evaluator", mm.EVALUATOR, "diffkit.evaluation")
METRICS = _child("metric", mm.METRICS, "diffkit.evaluation")
VISUALIZERS = _child("visualizer", mm.VISUALIZERS, "diffkit.engine")
VISBACKENDS = _child("visualizer backend", mm.VISBACKENDS, "diffkit.engine")

FAMILIES = _root("family", "diffkit.models")
OBJECTIVES = _root("objective", "diffkit.models")
TUNERS = _root("tuner", "diffkit.models")
PRUNERS = _root("pruner", "diffkit.models")
QUANTIZERS = _root("quantizer", "diffkit.models")
DISTILLERS = _root("distiller", "diffkit.models")
LOSSES = _root("loss", "diffkit.models")
NOISES = _root("noise", "diffkit.models")
TIMESTEPS = _root("timestep sampler", "diffkit.models")
