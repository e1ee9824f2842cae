"""Compiling what every step runs, by ``torch.compile``: the UNet block by block, or as a whole."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn

REGIONS = ("blocks", "unet")
MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
BACKENDS = ("inductor", "aot_eager", "eager")
_GRAPHS = ("reduce-overhead", "max-autotune")  # the modes that record CUDA graphs
_LIMIT = 64  # forms of one piece of code: all blocks run the same code with other sizes


class CompileCounts(NamedTuple):
    """What torch has compiled in this process: graphs, and places where one had to end and Python goes on."""

    graphs: int
    breaks: int


class UNetCompiler:
    """Compiles the UNet for training; samples run as they are, so that their sizes need no compiling of their own.

    Names of weights, checkpoints and exports stay as they are. Dropout draws the numbers that it draws uncompiled.

    Args:
        regions: ``blocks`` compiles each residual and each transformer block: quick to compile, and what lies between
            them (recorders, gradient checkpointing) runs as ever. ``unet`` compiles it as a whole.
        mode: of ``torch.compile``: ``default``, ``reduce-overhead`` and ``max-autotune``, which record CUDA graphs, or
            ``max-autotune-no-cudagraphs``.
        backend: ``inductor``; ``aot_eager`` and ``eager`` only trace, to look for faults.
        dynamic: one program for all sizes. False compiles for each size of the batches anew, which is faster where they
            are all alike.

    Attributes:
        compiled: number of regions that are compiled, after :meth:`apply`.
        left: number of blocks that are not, since something listens to layers inside them.
    """

    def __init__(self, regions: str = "blocks", mode: str = "default", backend: str = "inductor",
                 dynamic: bool = False) -> None:
        for name, value, allowed in (("regions", regions, REGIONS), ("mode", mode, MODES),
                                     ("backend", backend, BACKENDS)):
            if value not in allowed:
                raise ValueError(f"model.compile: {name} is {value!r}; allowed: {', '.join(allowed)}.")
        if backend != "inductor" and mode != "default":
            raise ValueError(f"model.compile: mode {mode!r} is one of the backend 'inductor', not of {backend!r}.")
        self.regions, self.mode, self.backend, self.dynamic = regions, mode, backend, dynamic
        self.compiled = self.left = 0

    def apply(self, unet: nn.Module, recording: AbstractContextManager[Any], checkpointing: bool) -> None:
        """Compiles in place; call it when adapters, number formats and recorders have their places.

        Args:
            unet: the network.
            recording: what a distiller records with; the blocks that it listens inside of stay as they are.
            checkpointing: whether activations are computed again.

        Raises:
            ValueError: the machine cannot do it, or the whole UNet cannot be one program.
        """
        self._check_machine()
        with recording:
            listening = {id(module) for module in unet.modules() if module._forward_hooks or module._forward_pre_hooks}
        if self.regions == "unet":
            if checkpointing:
                raise ValueError("model.compile: regions='unet' and model.gradient_checkpointing exclude each other: "
                                 "take regions='blocks'.")
            if listening:
                raise ValueError("model.compile: regions='unet' does not go with a distiller that compares layers of "
                                 "the UNet: take regions='blocks'.")
            chosen = [unet]
        else:
            blocks = _blocks(unet)
            chosen = [block for block in blocks if not any(id(module) in listening for module in block.modules())]
            self.left = len(blocks) - len(chosen)
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _LIMIT)
        for region in chosen:
            region.compile(backend=self.backend, dynamic=self.dynamic, **self._options())
        self.compiled = len(chosen)

    def describe(self) -> str:
        """One line for the table that is printed before training."""
        what = "the UNet as a whole" if self.regions == "unet" else f"{self.compiled} blocks of the UNet"
        left = f"; {self.left} are not, a distiller listens to layers inside them" if self.left else ""
        return f"{what}, by {self.backend}, mode {self.mode}{left}; the first iteration waits for it"

    def begin_step(self) -> None:
        """Tells CUDA graphs that the results of the step before are no longer needed."""
        if self.mode in _GRAPHS:
            torch.compiler.cudagraph_mark_step_begin()

    @contextmanager
    def off(self) -> Iterator[None]:
        """Runs what was compiled as it was before, inside ``with``."""
        with torch.compiler.set_stance("force_eager"):
            yield

    @staticmethod
    def counts() -> CompileCounts:
        """What has been compiled so far in this process."""
        from torch._dynamo.utils import counters

        return CompileCounts(int(counters["stats"]["unique_graphs"]), sum(counters["graph_break"].values()))

    def _options(self) -> dict[str, Any]:
        """``mode`` and ``options`` exclude each other in torch, so that the mode is given by what it stands for."""
        if self.backend != "inductor":
            return {}
        from torch._inductor import list_mode_options

        return {"options": {**list_mode_options(self.mode, self.dynamic), "fallback_random": True}}

    def _check_machine(self) -> None:
        if self.mode in _GRAPHS and not torch.cuda.is_available():
            raise ValueError(f"model.compile: mode {self.mode!r} makes CUDA graphs, and there is no GPU here; "
                             "take 'default'.")
        if self.backend == "inductor" and not torch.cuda.is_available():
            from torch._inductor.cpp_builder import get_cpp_compiler

            try:
                get_cpp_compiler()
            except Exception as error:  # torch has a class of its own for it
                raise ValueError("model.compile: on a CPU backend 'inductor' needs a C++ compiler, and there is none "
                                 f"({type(error).__name__}); install g++ or leave model.compile out.") from None


def _blocks(unet: nn.Module) -> list[nn.Module]:
    """The residual and the transformer blocks of a UNet."""
    from diffusers.models.attention import BasicTransformerBlock
    from diffusers.models.resnet import ResnetBlock2D

    return [module for module in unet.modules() if isinstance(module, (ResnetBlock2D, BasicTransformerBlock))]
