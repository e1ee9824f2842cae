"""What does not go with sharded weights, as a rule of the check: see ``rules``.

The same is refused when the model is built (``diffkit.engine.sharding``), for parts that the check does not know. Here
it is said before anything is loaded.
"""

from diffkit.utils.config_check.rules import Conflicts, View, rule, type_name

WRAPPER = "ShardedDataParallel"
_TUNERS = ("LoRATuner", "TextualInversion", "CrossAttentionTuner")


@rule
def sharded_weights(view: View) -> Conflicts:
    """Sharded weights are those of whole networks, stepped over in float32."""
    if type_name(view.get("model_wrapper_cfg")) != WRAPPER:
        return
    other = f"does not go with model_wrapper_cfg.type={WRAPPER}; without that, MMDistributedDataParallel does"
    for key, tuner in view.items("model.tuners"):
        if type_name(tuner) in _TUNERS:
            yield key, f"{type_name(tuner)} {other}"
        elif tuner.get("component") == "vae":
            yield f"{key}.component", f"'vae' {other}"
    if view.get("model.quantizer") is not None:
        yield "model.quantizer", f"a quantizer {other}"
    if view.get("model.distiller.offload") is not None:
        yield "model.distiller.offload", f"a teacher that waits elsewhere {other}; a sharded one needs less too"
    if view.get("model.distiller.target_decay"):
        yield "model.distiller.target_decay", f"an average that is called in the student's place {other}; set it to 0"
    for name in ("compile", "memory_format"):
        if view.get(f"model.{name}") is not None:
            yield f"model.{name}", f"{name} {other}"
    if view.get("model.gradient_checkpointing") == "auto":
        yield "model.gradient_checkpointing", f"'auto' {other}, for processes may decide differently; take True"
    precision = view.get("optim_wrapper.dtype")
    if precision == "float16":
        yield "optim_wrapper.dtype", f"'float16' {other}; or take 'bfloat16'"
    if view.get("model_wrapper_cfg.dtype") == "bfloat16" and precision != "bfloat16":
        yield "model_wrapper_cfg.dtype", f"is 'bfloat16', and optim_wrapper.dtype is {precision!r}; set both"
    if type_name(view.get("optim_wrapper.optimizer")).endswith("8bit"):
        yield "optim_wrapper.optimizer.type", f"{type_name(view.get('optim_wrapper.optimizer'))} {other}"
