"""neural-compressor, which is optional, and which adapters have no use for."""


def leave_neural_compressor_out() -> None:
    """Lets PEFT do without neural-compressor where that is installed; call it before PEFT adds an adapter.

    PEFT (0.21) imports it for every adapter, to look for layers in FP8 for Gaudi, which no model of diffkit has. That
    takes more than a second, and where the package is broken (without its extra ``pt``, say) no adapter could be added.
    """
    from peft.tuners.lora import inc
    from peft.utils import quantization_utils

    for module in (inc, quantization_utils):
        if hasattr(module, "is_inc_available"):
            setattr(module, "is_inc_available", bool)  # noqa: B010
