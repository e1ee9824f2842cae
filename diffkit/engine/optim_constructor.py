"""From the ``optim_wrapper`` of a config to an optimizer over exactly what is trained."""

from typing import Any

import torch
from mmengine.model import is_model_wrapper
from torch import nn

from diffkit.engine.optim import OptimWrapper
from diffkit.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS
from diffkit.utils.near import did_you_mean


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class TrainableConstructor:
    """Builds the wrapper with the model's trainable parameters only.

    Args:
        optim_wrapper_cfg: of the wrapper; its ``optimizer`` is built here.
        paramwise_cfg: ``dict(custom_keys={'text_encoder': dict(lr_mult=0.1, decay_mult=0.0)})``: the
            parameters whose full name contains the key; the longest matching key counts. A key that matches
            nothing is an error.
    """

    def __init__(self, optim_wrapper_cfg: dict[str, Any], paramwise_cfg: dict[str, Any] | None = None) -> None:
        unknown = set(paramwise_cfg or {}) - {"custom_keys"}
        if unknown:
            raise ValueError(f"paramwise_cfg has unknown keys {sorted(unknown)}; allowed: custom_keys")
        self.wrapper_cfg = dict(optim_wrapper_cfg)
        self.optimizer_cfg = dict(self.wrapper_cfg.pop("optimizer"))
        self.custom_keys: dict[str, dict[str, float]] = dict((paramwise_cfg or {}).get("custom_keys", {}))

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Returns the wrapper for ``model`` (which may be wrapped for several processes)."""
        parameters = trainable_parameters(model)
        self.optimizer_cfg["params"] = self._groups(parameters)
        if isinstance(self.optimizer_cfg.get("type"), str):
            check_optimizer_name(self.optimizer_cfg["type"])
        optimizer = OPTIMIZERS.build(_fused(self.optimizer_cfg))
        self.wrapper_cfg.setdefault("type", OptimWrapper)
        return OPTIM_WRAPPERS.build(self.wrapper_cfg | {"optimizer": optimizer})

    def _groups(self, parameters: dict[str, nn.Parameter]) -> list[dict[str, Any]]:
        """One group for all parameters that no key matches, then one per key, in the order of the keys."""
        keys = sorted(self.custom_keys, key=len, reverse=True)
        members: dict[str | None, list[nn.Parameter]] = {None: []} | {key: [] for key in self.custom_keys}
        for name, parameter in parameters.items():
            members[next((key for key in keys if key in name), None)].append(parameter)
        self._check_keys(members, parameters)
        return [self._options(key) | {"params": group} for key, group in members.items() if group]

    def _check_keys(self, members: dict[str | None, list[nn.Parameter]], parameters: dict[str, Any]) -> None:
        for key, options in self.custom_keys.items():
            unknown = set(options) - {"lr_mult", "decay_mult"}
            if unknown:
                raise ValueError(
                    f"paramwise_cfg.custom_keys[{key!r}] has unknown keys {sorted(unknown)}; "
                    "allowed: lr_mult, decay_mult"
                )
            if not members[key]:
                fronts = sorted({name.split(".")[0] for name in parameters})
                raise ValueError(
                    f"paramwise_cfg.custom_keys[{key!r}] matches no trained parameter; "
                    f"what is trained begins with {', '.join(fronts)}"
                )

    def _options(self, key: str | None) -> dict[str, float]:
        if key is None:
            return {}
        options = {}
        for given, option in (("lr_mult", "lr"), ("decay_mult", "weight_decay")):
            if given not in self.custom_keys[key]:
                continue
            if option not in self.optimizer_cfg:
                raise ValueError(f"{given} of paramwise_cfg.custom_keys[{key!r}] needs optimizer.{option} to be set")
            options[option] = self.optimizer_cfg[option] * self.custom_keys[key][given]
        return options


def _fused(options: dict[str, Any]) -> dict[str, Any]:
    """Adam and AdamW of torch step over all weights in one call, unless the options say how they step."""
    known = options.get("type") in (torch.optim.Adam, torch.optim.AdamW, "Adam", "AdamW")
    chosen = options.keys() & {"foreach", "fused", "capturable", "differentiable"}
    return {"fused": True, **options} if known and not chosen else options


def unwrap(model: nn.Module) -> Any:
    """Returns the model itself, without what wraps it for several processes."""
    return model.module if is_model_wrapper(model) else model


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Returns what the optimizer gets, by full name, after checking it.

    Raises:
        ValueError: there is nothing to train; the message names the tuners.
        TypeError: a parameter is not float32, which mixed precision needs.
    """
    parameters = unwrap(model).trainable_parameters()
    if not parameters:
        tuners = getattr(unwrap(model), "tuners", None) or {}
        given = ", ".join(f"{name}: {tuner.describe()}" for name, tuner in tuners.items()) or "none"
        raise ValueError(
            f"model.tuners leave nothing to train (given: {given}); add a tuner, "
            "or correct the component or pattern of one"
        )
    wrong = {name: value.dtype for name, value in parameters.items() if value.dtype != torch.float32}
    if wrong:
        name, dtype = next(iter(wrong.items()))
        raise TypeError(
            f"{len(wrong)} of {len(parameters)} trained parameters are not float32 (first: {name} is "
            f"{dtype}). Trained weights stay float32; for speed set optim_wrapper.dtype='bfloat16', for "
            "memory set model.frozen_dtype"
        )
    return parameters


def scale_learning_rates(wrapper: Any, batch_size: int, processes: int, per_item: int = 1) -> str:
    """Multiplies all learning rates; returns the formula as text.

    Args:
        wrapper: of the optimizer; its accumulation is a factor.
        batch_size: items of a batch, a factor.
        processes: a factor.
        per_item: pictures of an item, a factor: 2 where each brings a prior picture.
    """
    counts, before = wrapper.accumulative_counts, wrapper.optimizer.param_groups[0]["lr"]
    factor = counts * batch_size * processes * per_item
    for group in wrapper.param_groups:
        group["lr"] *= factor
    return (
        f"scale_lr: {before:g} x {counts} (accumulation) x {batch_size} (batch) x {processes} (processes) "
        f"{f'x {per_item} (pictures of an item) ' if per_item > 1 else ''}= {before * factor:g}"
    )


def _eight_bit(name: str) -> Any:
    def build(params: Any, **options: Any) -> torch.optim.Optimizer:
        try:
            import bitsandbytes
        except ImportError as error:
            raise ImportError(
                f"optimizer {name} needs the package bitsandbytes (pip install bitsandbytes); AdamW needs nothing"
            ) from error
        return getattr(bitsandbytes.optim, name)(params, **options)

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"""{name} of the optional package bitsandbytes.

    Args:
        params: what is trained; the training gives it.
        **options: its own arguments, such as ``lr``, ``betas`` and ``weight_decay``.
    """
    return build


Adam8bit = OPTIMIZERS.register_module(name="Adam8bit", module=_eight_bit("Adam8bit"))
AdamW8bit = OPTIMIZERS.register_module(name="AdamW8bit", module=_eight_bit("AdamW8bit"))


def check_optimizer_name(name: str) -> None:
    """Raises a ValueError with the nearest name if no optimizer is called ``name``."""
    if OPTIMIZERS.get(name) is None:
        known = sorted({*OPTIMIZERS.module_dict, *(OPTIMIZERS.parent.module_dict if OPTIMIZERS.parent else ())})
        raise ValueError(f"optimizer.type {name!r} is unknown{did_you_mean(name, known)}")
