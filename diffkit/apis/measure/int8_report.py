"""The figures of quantised UNets as Markdown."""

from collections.abc import Mapping
from typing import Any

from diffkit.apis.measure import report

NAMES = {"float32": "torch float32", "bfloat16": "torch bfloat16", "int8": "int8, kernels of diffkit",
         "openvino": "int8, OpenVINO, the rest bfloat16"}
#: What each has to reach, in times as fast as float32.
FASTER = {"int8": 2.0, "openvino": 2.9}
FASTER_THAN_BFLOAT16 = 1.2
SMALLER = {"w8": ("weights and inputs of 8 bits", 3.9), "w4": ("weights of 4 bits, the ends 8", 7.0)}
LONGER_STEP = 1.6


def int8_table(results: Mapping[str, Any]) -> str:
    """All tables, each with what it was made by."""
    blocks = [_speed(found) for found in results.get("speed", {}).values()]
    blocks += [_size(found) for found in results.get("size", {}).values()]
    blocks += [_step(found) for found in results.get("step", {}).values()]
    return "\n".join(blocks)


def _speed(found: Mapping[str, Any]) -> str:
    rows = []
    for name, variant in found["variants"].items():
        rows.append((NAMES[name], f"{min(variant['cpu_seconds']):.2f}–{max(variant['cpu_seconds']):.2f}",
                     "" if name == "float32" else _ratio(variant["faster"]),
                     *_judged(variant["faster"]["median"], FASTER.get(name)),
                     "" if name == "float32" else f"{variant['error']:.1e}", _executed(name, variant["executed"])))
    than = found["int8_over_bfloat16"]
    rows.append(("int8, kernels of diffkit, over torch bfloat16", "", _ratio(than),
                 *_judged(than["median"], FASTER_THAN_BFLOAT16), "", ""))
    side = found["side"]
    return (f"A pass of a UNet of {_million(found)} parameters, batch {found['batch']}, latents of {side} x {side}, "
            "random weights:\n\n"
            + report.table(("computed by", "s of one thread", "times as fast as float32", "asked", "reached",
                            "squared error relative to float32", "executed"), rows)
            + f"\nMedian of {than['rounds']} rounds in which all take turns, with the least and the most; processor "
            f"time of one thread. {_openvino(found)}" + report.footer(found["about"]))


def _size(found: Mapping[str, Any]) -> str:
    rows = [("float32", f"{found['bytes']['float32'] / 1e6:,.1f}", "", "", "")]
    rows += [(words, f"{found['bytes'][width] / 1e6:,.1f}", f"{found['smaller'][width]:.2f}",
              *_judged(found["smaller"][width], least)) for width, (words, least) in SMALLER.items()]
    return (f"Files of a UNet of {_million(found)} parameters, tensors and description:\n\n"
            + report.table(("format", "MB (10^6 bytes)", "times smaller", "asked", "reached"), rows)
            + "\n" + report.footer(found["about"]))


def _step(found: Mapping[str, Any]) -> str:
    longer = found["longer"]
    rows = [(f"{name} step", f"{min(times['cpu_seconds']):.2f}–{max(times['cpu_seconds']):.2f}",
             *((_ratio(longer), f"≤ {LONGER_STEP:g}", report.yes(longer["median"] <= LONGER_STEP))
               if name == "quantised" else ("", "", ""))) for name, times in found["times"].items()]
    return (f"A training step (forward, backward, AdamW) of a UNet of {_million(found)} parameters, batch "
            f"{found['batch']}, latents of {found['side']} x {found['side']}, {found['layers']} layers of 8 bits with "
            "fixed ranges:\n\n"
            + report.table(("step", "s of one thread", "times as long", "asked", "reached"), rows)
            + f"\nMedian of {longer['rounds']} rounds, with the least and the most. " + report.footer(found["about"]))


def _ratio(found: Mapping[str, float]) -> str:
    return f"{found['median']:.2f} ({found['least']:.2f}–{found['most']:.2f})"


def _judged(value: float, least: float | None) -> tuple[str, str]:
    return ("", "") if least is None else (f"≥ {least:g}", report.yes(value >= least))


def _million(found: Mapping[str, Any]) -> str:
    return f"{found['parameters'] / 1e6:,.0f} million"


def _executed(name: str, executed: Mapping[str, Any]) -> str:
    if name == "bfloat16":
        return "kernels of oneDNN for bfloat16" if executed["onednn"] else "no kernels for bfloat16"
    if name == "int8":
        return f"{executed['integer']} layers with integers, {executed['float']} with floats"
    if name == "openvino":
        others = sum(count for kind, count in executed.items() if kind != "int8")
        return f"{executed['int8']} layers with integers, {others} with floats"
    return "floats"


def _openvino(found: Mapping[str, Any]) -> str:
    return f"OpenVINO {found['openvino'].split('-')[0]}. " if found.get("openvino") else "OpenVINO is not installed. "
