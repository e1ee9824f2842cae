"""Pictures from prompts, saved with what they were made of."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffkit.apis.load_pipeline import load_pipeline
from diffkit.apis.model_identity import files_hash
from diffkit.apis.quantized_pictures import pairs_with_float, verify_quantized
from diffkit.utils.images import picture_grid, save_png, slug

if TYPE_CHECKING:
    import torch

    from diffkit.models.generation import GenerationSettings

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def text_to_image(
    pretrained: str | Path | None,
    steps: Sequence[str | Path],
    prompts: Sequence[str],
    *,
    weights: Sequence[float] | None = None,
    images_num: int = 1,
    seed: int = 0,
    num_inference_steps: int = 25,
    guidance_scale: float = 7.5,
    negative_prompt: str | None = None,
    height: int | None = None,
    width: int | None = None,
    batch_size: int = 4,
    device: "str | torch.device | None" = None,
    dtype: "str | torch.dtype | None" = None,
    vae: str | Path | None = None,
    scheduler: str | None = "auto",
    allow_pickle: bool = False,
    out: str | Path = "outputs",
    kernels: str = "auto",
    beside_float: bool = False,
    verify_loading: bool = False,
) -> list[Path]:
    """Makes ``images_num`` pictures of each prompt.

    Picture ``i`` of every prompt has the seed ``seed + i``; it does not depend on the batch, and its noise
    not on the device.

    Args:
        pretrained: a packaged name, a diffusers folder, a step folder or a hub id; None takes what ``steps``
            were trained on.
        steps: step folders that act on it together.
        weights: a number for each of ``steps``, see :func:`load_pipeline`.
        prompts: one or more.
        images_num: pictures of each prompt, 1 or more.
        seed: 0 or more.
        num_inference_steps: 1 or more.
        guidance_scale: classifier-free guidance; 1 is none.
        negative_prompt: what to steer away from.
        height: pixels; None takes the model's own size.
        width: pixels; None takes the model's own size.
        batch_size: pictures made at once.
        device: None takes CUDA where there is one.
        dtype: None or "auto" is float16 on CUDA and float32 elsewhere.
        vae: another VAE; a folder or hub id.
        scheduler: "auto", "dpm++", "lcm" or None, see :func:`load_pipeline`.
        allow_pickle: also read ``.bin`` weights, see :func:`load_pipeline`.
        out: a folder for the pictures and ``grid.png``; or the file of the one picture, or of the grid where
            there are more, which lie beside it then.
        kernels: of a quantised UNet, see :func:`load_pipeline`.
        beside_float: shows the picture of the float model to the left of the quantised one's, from the same noise.
        verify_loading: first compares the quantised UNet with the one that was saved, bit for bit.

    Returns:
        The files of the pictures, by prompt and seed; the grid comes last where there are several.

    Raises:
        ValueError: an argument is not valid; see also :func:`load_pipeline`.
    """
    _check(prompts, images_num, seed, batch_size)
    from diffkit.models.generation import GenerationSettings, generate

    if verify_loading:
        verify_quantized(pretrained, steps, device=device, vae=vae, allow_pickle=allow_pickle)
    settings = GenerationSettings(num_inference_steps, guidance_scale, negative_prompt, height, width)
    pipe = load_pipeline(pretrained, steps, weights=weights, device=device, dtype=dtype, vae=vae,
                         scheduler=scheduler, allow_pickle=allow_pickle, kernels=kernels)
    wanted = [(prompt, seed + i) for prompt in prompts for i in range(images_num)]
    images = []
    for start in range(0, len(wanted), batch_size):
        some, seeds = zip(*wanted[start:start + batch_size], strict=True)
        images += generate(pipe, some, seeds, settings)
    if beside_float:
        images = pairs_with_float(images, pretrained, steps, wanted, settings, batch_size, device=device, dtype=dtype,
                                  vae=vae, allow_pickle=allow_pickle)
    about = about_pictures(pipe, pretrained, steps, weights, settings)
    if vae is not None:
        about |= {"vae": str(vae), "model_hash": files_hash(pretrained, steps, vae)}
    return save_pictures(images, wanted, about, Path(out), images_num)


def demo_lora(
    prompt: str,
    checkpoint: str | Path | Sequence[str | Path],
    sdmodel: str | Path | None = None,
    *,
    vaemodel: str | Path | None = None,
    out: str | Path = "demo.png",
    **settings: Any,
) -> Path:
    """Makes one picture with a step folder, such as a LoRA, or with several.

    Args:
        prompt: what to show.
        checkpoint: the step folder, or a list of them.
        sdmodel: the model that it was trained on; None takes what the (first) step folder says.
        vaemodel: another VAE; a folder or hub id.
        out: the picture's file.
        settings: of :func:`text_to_image`.

    Returns:
        The file. With several ``images_num`` it is their grid.
    """
    steps = [checkpoint] if isinstance(checkpoint, str | Path) else list(checkpoint)
    return text_to_image(sdmodel, steps, [prompt], vae=vaemodel, out=out, **settings)[-1]


def about_pictures(pipe: Any, pretrained: str | Path | None, steps: Sequence[str | Path],
                   weights: Sequence[float] | None, settings: "GenerationSettings") -> dict[str, Any]:
    """What a PNG file says about what painted it, besides its own prompt and seed.

    Args:
        pipe: of :func:`load_pipeline`, with the next three arguments.
        pretrained: as there.
        steps: as there.
        weights: as there.
        settings: what it sampled with; a sampler is named only where one was chosen.
    """
    sampler = {} if settings.sampler is None else {"sampler": settings.sampler}
    return {
        "pretrained": str(pretrained or pipe.config._name_or_path),
        "steps": [str(step) for step in steps],
        "weights": None if weights is None else list(weights),
        "negative_prompt": settings.negative_prompt,
        "num_inference_steps": settings.num_inference_steps,
        "guidance_scale": settings.guidance_scale,
        **sampler,
        "dtype": str(pipe.dtype).removeprefix("torch."),
        "model_hash": files_hash(pretrained, steps),
    }


def _check(prompts: Sequence[str], images_num: int, seed: int, batch_size: int) -> None:
    if isinstance(prompts, str):
        raise TypeError("prompts must be a list of prompts, not one string.")
    if not prompts:
        raise ValueError("prompts is empty: give one or more.")
    limits = {"images_num": (images_num, 1), "seed": (seed, 0), "batch_size": (batch_size, 1)}
    for name, (value, least) in limits.items():
        if value < least:
            raise ValueError(f"{name} must be {least} or more, not {value!r}")


def save_pictures(images: Sequence[Any], wanted: Sequence[tuple[str, int]], about: dict[str, Any], out: Path,
                  columns: int) -> list[Path]:
    """Saves pictures, and a grid where there are several.

    Args:
        images: the pictures.
        wanted: prompt and seed of each.
        about: of :func:`about_pictures`.
        out: as for :func:`text_to_image`.
        columns: of the grid; 1 makes it about square.

    Returns:
        The files, the grid last.
    """
    is_file = out.suffix.lower() in IMAGE_SUFFIXES
    files = []
    for number, (image, (prompt, seed)) in enumerate(zip(images, wanted, strict=True)):
        if is_file:
            path = out if len(images) == 1 else out.with_stem(f"{out.stem}_{number:03d}")
        else:
            path = out / f"{number:03d}_{slug(prompt)}_seed{seed}.png"
        files.append(save_png(image, path, {"prompt": prompt, "seed": seed, **about}))
    if len(images) > 1:
        captions = [f"{prompt} (seed {seed})" for prompt, seed in wanted]
        grid = picture_grid(images, captions, columns if columns > 1 else None)
        files.append(save_png(grid, out if is_file else out / "grid.png", about))
    return files
