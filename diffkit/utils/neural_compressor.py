"""neural-compressor, which is optional: PEFT takes it as sound wherever it is installed."""

import functools
import importlib
import importlib.util
import logging

#: What PEFT (0.21) imports for every LoRA layer as soon as it finds the package.
_WANTED = ("neural_compressor.torch.algorithms.fp8_quant._quant_common.helper_modules", "PatchedLinear")


@functools.cache
def hide_broken_neural_compressor() -> bool:
    """Lets PEFT do without neural-compressor where that is installed but cannot be imported.

    Without its extra ``pt`` every LoRA would fail with ``No module named 'cpuinfo'``. LoRA needs nothing of it, so the
    result is the same. Call this before PEFT adds an adapter.

    Returns:
        Whether it is broken; that is told once.
    """
    fault = _fault()
    if fault is None:
        return False
    from peft.tuners.lora import inc
    from peft.utils import quantization_utils

    for module in (inc, quantization_utils):
        if hasattr(module, "is_inc_available"):
            setattr(module, "is_inc_available", bool)  # noqa: B010
    logging.getLogger("diffkit").warning(
        f"neural-compressor is installed and cannot be imported ({type(fault).__name__}: {fault}); "
        "LoRA does without it. "
        "pip install 'neural-compressor[pt]' mends it"
    )
    return True


def _fault() -> Exception | None:
    name, attribute = _WANTED
    try:
        if importlib.util.find_spec("neural_compressor") is not None:
            getattr(importlib.import_module(name), attribute)
    except Exception as error:  # whatever a package may raise when it is imported
        return error
    return None
