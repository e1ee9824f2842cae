"""neural-compressor, which is optional: what of it is used, its options, and its faults in words."""

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from inspect import signature
from typing import Any, TypeVar

from diffkit.utils.near import did_you_mean

Result = TypeVar("Result")

_GROUPS = ("dtype", "bits", "use_sym", "group_size")
_TWICE = ("use_double_quant", "double_quant_dtype", "double_quant_bits", "double_quant_use_sym",
          "double_quant_group_size")
#: The library's options of each algorithm; those that are about files, language models and memory are left out.
OPTIONS: dict[str, tuple[str, ...]] = {
    "rtn": (*_GROUPS, "group_dim", "use_full_range", "use_mse_search", *_TWICE),
    "gptq": (*_GROUPS, "use_mse_search", *_TWICE, "act_order", "hybrid_order", "fp8_aware", "percdamp", "block_size",
             "static_groups"),
    "hqq": ("dtype", "bits", "group_size", "quant_zero", "quant_scale", "scale_quant_group_size"),
    "static": ("w_granularity", "w_algo", "act_dtype", "act_sym", "act_algo"),
}
#: Names of the library's classes, and what is always said to them.
_CLASSES = {"rtn": "RTNConfig", "gptq": "GPTQConfig", "hqq": "HQQConfig", "static": "StaticQuantConfig"}
_FIXED: dict[str, dict[str, Any]] = {"rtn": {"use_layer_wise": False}, "gptq": {"model_path": "."}}
_INSTALL = "install it with: pip install 'neural-compressor[pt]'"


def check_options(algorithm: str, options: Mapping[str, Any]) -> None:
    """Refuses what an algorithm does not know, without the library, which itself takes any option in silence.

    Args:
        algorithm: one of ``OPTIONS``.
        options: by name.

    Raises:
        ValueError: an option is unknown.
    """
    for name in options:
        if name not in OPTIONS[algorithm]:
            raise ValueError(f"NeuralCompressorQuantizer: {algorithm} has no option {name!r}"
                             f"{did_you_mean(name, OPTIONS[algorithm])}")


def library() -> Any:
    """The module with the library's configs, ``prepare`` and ``convert``.

    Raises:
        ImportError: it is not installed, or cannot be imported.
    """
    try:
        from neural_compressor.torch import quantization
    except Exception as error:  # whatever a package may raise when it is imported
        raise ImportError("NeuralCompressorQuantizer needs neural-compressor, which cannot be imported "
                          f"({type(error).__name__}: {error}); {_INSTALL}") from error
    return quantization


def is_available() -> bool:
    """Whether the library is installed."""
    return find_spec("neural_compressor") is not None


def library_version() -> str:
    """Name and version, for descriptions."""
    return f"neural-compressor {version('neural-compressor')}"


def library_config(algorithm: str, options: Mapping[str, Any]) -> Any:
    """The library's config of an algorithm.

    Raises:
        ValueError: the installed version lacks an option.
    """
    kind = getattr(library(), _CLASSES[algorithm])
    known = signature(library().INT8StaticQuantConfig if algorithm == "static" else kind).parameters
    for name in options:
        if name not in known:
            raise ValueError(f"NeuralCompressorQuantizer: {library_version()} has no option {name!r} of {algorithm}.")
    return kind(**_FIXED.get(algorithm, {}), **options)


def asked_of_library(what: str, action: Callable[[], Result]) -> Result:
    """Runs ``action``; a fault of the library becomes a message that says what it was asked and what it said.

    Raises:
        ValueError: ``action`` failed.
    """
    try:
        return action()
    except Exception as error:  # whatever the library may raise
        raise ValueError(f"NeuralCompressorQuantizer: {library_version()} failed at {what}. It says: "
                         f"{type(error).__name__}: {error}") from error


@contextmanager
def short_collections() -> Iterator[None]:
    """The library collects garbage after every layer: inside ``with`` that passes over what is there already."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
