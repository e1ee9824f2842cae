"""Loads one model in a process of its own, measures it and lets it paint.

``python -m diffkit.apis.report.painter JOB``: nothing else has run in this process, so its largest memory is that of
this model. ``JOB`` is a JSON file that :mod:`diffkit.apis.report.models` writes; the answer is ``result.json``.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any


def main(job_file: str) -> int:
    """Does a job; the exit status is 1, with one line on stderr, where the user named something wrong."""
    from diffkit.utils.quiet import quieten_libraries
    from diffkit.utils.user_errors import describe, is_user_error

    quieten_libraries()
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    try:
        result = measure(job)
    except Exception as error:
        if not is_user_error(error):
            raise
        print(describe(error), file=sys.stderr)
        return 1
    Path(job_file).with_name("result.json").write_text(json.dumps(result), encoding="utf-8")
    return 0


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Loads the model, times pictures one by one, then paints all that were asked for."""
    import torch

    from diffkit.apis.load_pipeline import load_pipeline
    from diffkit.apis.measure.report import machine
    from diffkit.models.generation import GenerationSettings, generate

    wanted = [(prompt, seed) for prompt in job["prompts"] for seed in job["seeds"]]
    settings = GenerationSettings(**job["settings"])
    before = peak_memory()
    began = time.perf_counter()
    pipe = load_pipeline(job["model"], device=job["device"], dtype=job["dtype"], kernels=job["kernels"])
    loaded = time.perf_counter() - began
    on_gpu = pipe.device.type == "cuda"
    generate(pipe, *_columns(wanted[:1]), settings.updated(num_inference_steps=2))
    seconds, pictures = [], []
    for _ in range(job["repeats"]):
        began = time.perf_counter()
        pictures = generate(pipe, *_columns(wanted[:1]), settings)  # a picture on the CPU: the device has finished
        seconds.append(time.perf_counter() - began)
    memory = {"process": peak_memory(), "before": before,
              "gpu": int(torch.cuda.max_memory_allocated()) if on_gpu else None}
    size = pictures[0].size
    for first in range(1, len(wanted), job["batch_size"]):
        pictures += generate(pipe, *_columns(wanted[first:first + job["batch_size"]]), settings)
    files = [f"{number:04d}.png" for number in range(len(pictures))]
    for name, image in zip(files, pictures, strict=True):
        image.save(Path(job["out"]) / name)
    return {"structure": structure(pipe, size), "seconds": seconds, "load_seconds": loaded, "memory": memory,
            "pictures": files, "device": _device(pipe), "dtype": str(pipe.vae.dtype).removeprefix("torch."),
            "size": size, "machine": machine()}


def structure(pipe: Any, size: tuple[int, int]) -> dict[str, Any]:
    """Parameters by network, those of adapters beside the UNet's, and multiplications of a call of the UNet."""
    from diffkit.evaluation.cost import count_parameters, unet_macs
    from diffkit.export.signature import base_tensors
    from diffkit.models.twin import empty_unet

    networks = {name: part for name, part in pipe.components.items() if hasattr(part, "parameters")}
    counts = {name: count_parameters(part) for name, part in networks.items() if name != "safety_checker"}
    base = sum(parameter.numel() for _, parameter in base_tensors(pipe.unet))
    adapters = counts["unet"] - base
    counts["unet"] = count_parameters(empty_unet(pipe.unet.config))  # integers are no parameters of torch
    latents = (size[1] // pipe.vae_scale_factor, size[0] // pipe.vae_scale_factor)
    tokens = pipe.tokenizer.model_max_length
    macs = unet_macs(pipe.unet.config, latents, tokens)
    return {"parameters": counts, "adapter_parameters": adapters, "latents": latents, "tokens": tokens,
            "macs": macs.layers, "macs_with_attention": macs.total}


def peak_memory() -> int:
    """The largest resident memory of this process so far, in bytes.

    Linux: ``VmHWM`` of the process. ``ru_maxrss`` is not taken there: it goes on from the largest memory of the program
    that started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def _columns(wanted: list[tuple[str, int]]) -> tuple[list[str], list[int]]:
    return [prompt for prompt, _ in wanted], [seed for _, seed in wanted]


def _device(pipe: Any) -> str:
    import torch

    return torch.cuda.get_device_name(pipe.device) if pipe.device.type == "cuda" else str(pipe.device)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
