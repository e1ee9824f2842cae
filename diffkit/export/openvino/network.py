"""A UNet that OpenVINO computes, in the place of one of diffusers."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from diffkit.export.openvino.convert import FORMAT, INFO_FILE, MODEL_FILE, WEIGHTS_FILE
from diffkit.export.openvino.library import load_openvino_library
from diffkit.utils.hashes import file_sha256
from diffkit.utils.step_folder import read_json

PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVINOUNet(nn.Module):
    """Takes and gives what a UNet of diffusers does, on the CPU, without gradients.

    Args:
        folder: what :func:`~diffkit.export.openvino.write_openvino` has written.
        precision: of what is not quantised, ``float32`` or ``bfloat16``. It is always told to OpenVINO, whose own
            choice depends on the processor.
        threads: of the CPU; None takes those of torch.

    Raises:
        ImportError: OpenVINO is not installed.
        ValueError: the folder is damaged, or a layer that is quantised would be computed with floats.
    """

    def __init__(self, folder: str | Path, precision: str = "float32", threads: int | None = None) -> None:
        super().__init__()
        if precision not in PRECISIONS:
            raise ValueError(f"precision is {precision!r}; allowed: {', '.join(PRECISIONS)}.")
        from diffusers.configuration_utils import FrozenDict

        folder = Path(folder)
        info = read_openvino_info(folder)
        library = load_openvino_library()
        self.config = FrozenDict(info["config"])
        self.names, self.multiple = list(info["inputs"]), int(info["latent_multiple"])
        self.register_buffer("anchor", torch.zeros(()), persistent=False)
        if "text_embeds" in self.names:  # the pipeline of SDXL asks for this width
            width = self.config["projection_class_embeddings_input_dim"]
            self.add_embedding = SimpleNamespace(linear_1=SimpleNamespace(in_features=width))
        options = {"INFERENCE_PRECISION_HINT": PRECISIONS[precision],
                   "INFERENCE_NUM_THREADS": threads or torch.get_num_threads(), "NUM_STREAMS": 1}
        compiled = library.Core().compile_model(str(folder / MODEL_FILE), "CPU", options)
        self.executed = executed_kernels(compiled)
        if self.executed["int8"] < info["integer_layers"]:
            raise ValueError(f"{folder}: OpenVINO would compute {self.executed['int8']} layers with integers, and "
                             f"{info['integer_layers']} are quantised. The processor or the version of OpenVINO is not "
                             "made for it; use other kernels.")
        self._request = compiled.create_infer_request()

    @property
    def dtype(self) -> torch.dtype:
        """Of what it takes and gives; inside it computes with its precision."""
        return self.anchor.dtype  # type: ignore[return-value]

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")

    def forward(self, sample: Tensor, timestep: Any, encoder_hidden_states: Tensor,
                added_cond_kwargs: dict[str, Tensor] | None = None, return_dict: bool = True, **others: Any) -> Any:
        """The prediction for latents [B, C, H, W], as a UNet of diffusers gives it.

        Raises:
            ValueError: H or W is not divisible as the UNet needs it, a timestep lies between two, or there is an input
                that it does not take.
        """
        if given := sorted(name for name, value in others.items() if value is not None):
            raise ValueError(f"the UNet of OpenVINO takes no {', '.join(given)}.")
        if any(side % self.multiple for side in sample.shape[2:]):
            raise ValueError(f"latents of {sample.shape[2]} x {sample.shape[3]}: the UNet of OpenVINO takes sides that "
                             f"are divisible by {self.multiple}, that is {8 * self.multiple} pixels with a VAE of 8.")
        batch = sample.shape[0]
        inputs = {"sample": sample, "encoder_hidden_states": encoder_hidden_states, **(added_cond_kwargs or {})}
        arrays = {name: inputs[name].detach().float().contiguous().numpy() for name in self.names if name != "timestep"}
        arrays["timestep"] = _whole(torch.as_tensor(timestep).reshape(-1)).expand(batch).contiguous().numpy()
        found = self._request.infer([arrays[name] for name in self.names], share_inputs=True)[0]
        wanted = (batch, self.config["out_channels"], *sample.shape[2:])
        if found.shape != wanted:
            raise RuntimeError(f"OpenVINO gave a prediction of shape {found.shape} instead of {wanted}.")
        output = torch.from_numpy(found.copy()).to(sample.dtype)
        if not return_dict:
            return (output,)
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput

        return UNet2DConditionOutput(sample=output)


def _whole(timesteps: Tensor) -> Tensor:
    """Timesteps [B] as integers, which the file takes; some samplers, such as Euler's, step between them."""
    whole = timesteps.round()
    if not torch.equal(whole, timesteps):
        raise ValueError(f"timestep {float(timesteps[whole != timesteps][0]):.2f}: the UNet of OpenVINO takes whole "
                         "timesteps; use another sampler.")
    return whole.to(torch.int64)


def read_openvino_info(folder: Path) -> dict[str, Any]:
    """The description of a folder that :func:`~diffkit.export.openvino.write_openvino` has written.

    Raises:
        ValueError: there is none, it is of another format, or a file is not the one that was written.
    """
    if not (folder / INFO_FILE).is_file():
        raise ValueError(f"{folder} has no {INFO_FILE}: it holds no UNet for OpenVINO.")
    info = read_json(folder / INFO_FILE)
    if info.get("format") != FORMAT:
        raise ValueError(f"{folder / INFO_FILE} has format {info.get('format')!r}; this version reads {FORMAT}.")
    for name in (MODEL_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file() or file_sha256(folder / name) != info.get("sha256", {}).get(name):
            raise ValueError(f"{folder / name} is missing, or is not the file that {INFO_FILE} describes.")
    return info


def executed_kernels(compiled: Any) -> dict[str, int]:
    """How many layers the compiled model computes with which numbers: ``int8``, and others by OpenVINO's names.

    Layers are convolutions and products with weights. What counts is what the plugin says that it executes, and not
    the format of the file.
    """
    found: dict[str, int] = {"int8": 0}
    for op in compiled.get_runtime_model().get_ops():
        about = op.get_rt_info()
        if about["layerType"].astype(str) not in ("Convolution", "FullyConnected", "GroupConvolution"):
            continue
        kind = about["runtimePrecision"].astype(str)
        name = "int8" if kind in ("i8", "u8") else kind
        found[name] = found.get(name, 0) + 1
    return found
