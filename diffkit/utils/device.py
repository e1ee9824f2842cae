"""Which device and number format a machine offers for sampling."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16", "float16")


def choose_device(device: "str | torch.device | None" = None) -> "torch.device":
    """Returns ``device``, or the first of CUDA, Apple's MPS and CPU that is there.

    Raises:
        ValueError: it is unknown, or this machine lacks it.
    """
    import torch

    if device is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device {device!r} is unknown: {str(error).splitlines()[0]}") from None
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device {str(device)!r} is not there: this machine has {torch.cuda.device_count()} CUDA "
            "devices. Use device='cpu', or leave it out.")
    return chosen


def choose_dtype(dtype: "str | torch.dtype | None", device: "torch.device") -> "torch.dtype":
    """Returns ``dtype``; ``None`` or ``'auto'`` is float16 on CUDA, and float32 elsewhere.

    Raises:
        ValueError: it is none of float32, bfloat16 and float16.
    """
    import torch

    if dtype in (None, "auto"):
        return torch.float16 if device.type == "cuda" else torch.float32
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise ValueError(f"dtype must be 'auto', {', '.join(map(repr, DTYPES))}, not {str(dtype)!r}")
    chosen: torch.dtype = getattr(torch, name)
    return chosen


def dtype_option(dtype: "torch.dtype") -> "dict[str, torch.dtype]":
    """The argument by which ``from_pretrained`` of this version of diffusers takes the number format."""
    from diffusers import __version__
    from packaging.version import Version

    return {"dtype" if Version(__version__) >= Version("0.42") else "torch_dtype": dtype}
