"""The kinds of adapters that PEFT offers for linear and convolutional layers, and what each of them takes.

====  =================================================================  ================================
kind  what is added to a weight W [out, in]                              from
====  =================================================================  ================================
lora  ``B A · alpha / rank``                                             Hu et al. 2021, arXiv 2106.09685
dora  W and the LoRA together, each row brought to a learned length      Liu et al. 2024, arXiv 2402.09353
loha  ``(B1 A1) * (B2 A2) · alpha / rank``, element by element           Hyeon-Woo et al. 2021, arXiv 2108.06098
lokr  a Kronecker product of a small and a larger (or low-rank) matrix   Yeh et al. 2023, arXiv 2309.14859
oft   nothing: W is turned, by rotations of blocks of its inputs         Qiu et al. 2023, arXiv 2306.07280
====  =================================================================  ================================
"""

from collections.abc import Mapping
from typing import Any

KINDS = ("lora", "dora", "loha", "lokr", "oft")

#: The options of each kind beside those that all have, by PEFT's names. What PEFT has beyond these either trains base
#: weights, so that the adapter's file would lack a part, or has no effect there (``module_dropout`` of OFT).
OPTIONS = {
    "lora": ("use_rslora", "exclude_modules", "rank_pattern", "alpha_pattern"),
    "dora": ("use_rslora", "exclude_modules", "rank_pattern", "alpha_pattern"),
    "loha": ("use_effective_conv2d", "rank_dropout", "module_dropout", "exclude_modules", "rank_pattern",
             "alpha_pattern"),
    "lokr": ("decompose_both", "decompose_factor", "use_effective_conv2d", "rank_dropout", "rank_dropout_scale",
             "module_dropout", "exclude_modules", "rank_pattern", "alpha_pattern"),
    "oft": ("oft_block_size", "coft", "eps", "block_share", "use_cayley_neumann", "num_cayley_neumann_terms",
            "exclude_modules")}

FLAGS = ("use_rslora", "use_effective_conv2d", "decompose_both", "rank_dropout_scale", "coft", "block_share",
         "use_cayley_neumann")
SHARES = ("rank_dropout", "module_dropout")
PATTERNS = ("rank_pattern", "alpha_pattern")
#: Whole numbers, and the least that makes sense; ``decompose_factor`` of -1 splits a layer's sides evenly.
LEAST = {"decompose_factor": -1, "oft_block_size": 2, "num_cayley_neumann_terms": 2}

#: Side of the blocks of OFT where ``oft_block_size`` is not given; PEFT's default.
OFT_BLOCK = 32


def peft_config(kind: str, target_modules: list[str] | str, rank: int, alpha: float, dropout: float, init: str,
                options: Mapping[str, Any]) -> Any:
    """The config of PEFT that builds such an adapter; see :class:`~diffkit.models.LoRATuner` for the arguments."""
    import peft

    if kind in ("lora", "dora"):
        return peft.LoraConfig(
            r=rank, lora_alpha=alpha, target_modules=target_modules, lora_dropout=dropout, use_dora=kind == "dora",
            init_lora_weights="gaussian" if init == "gaussian" else True, **options)
    if kind == "oft":
        return peft.OFTConfig(r=0, target_modules=target_modules, **{"oft_block_size": OFT_BLOCK, **options})
    config = {"loha": peft.LoHaConfig, "lokr": peft.LoKrConfig}[kind]
    return config(r=rank, alpha=alpha, target_modules=target_modules, **options)
