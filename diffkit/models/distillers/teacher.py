"""The teacher: a frozen UNet that no optimizer, no checkpoint and no other process sees."""

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from diffkit.models.distillers.recorder import Recorder
from diffkit.models.families.base import Conditioning
from diffkit.models.frozen import floating_dtype
from diffkit.models.offload import OffloadedWeights, Place
from diffkit.models.step import Step
from diffkit.utils.pretrained import as_the_user_named, resolve_pretrained
from diffkit.utils.sharded import ShardedNetwork

if TYPE_CHECKING:
    from diffkit.models.latent_diffusion import LatentDiffusion

#: What a teacher's UNet must have in common with the student's, for both see the same latents and the same text.
_SHARED = ("in_channels", "out_channels", "cross_attention_dim", "addition_embed_type",
           "projection_class_embeddings_input_dim")


class FrozenTeacher:
    """Runs a frozen UNet beside the student. It is no module of the model, so nothing that walks modules finds it.

    Args:
        unet: the teacher's network; frozen here.
        dtype: the number format of its weights.
        offload: where its weights wait until their layer runs; None keeps them in the network.
    """

    def __init__(self, unet: nn.Module, dtype: torch.dtype, offload: Place | None = None) -> None:
        self.unet: Any = unet.requires_grad_(False).eval()
        for parameter in unet.parameters():  # to() of diffusers warns at each call
            parameter.data = parameter.data.to(dtype)
        self._sharded: ShardedNetwork | None = None
        self._offloaded = None if offload is None else OffloadedWeights(unet, offload)

    @classmethod
    def copy_of(cls, model: "LatentDiffusion", dtype: torch.dtype, offload: Place | None = None) -> "FrozenTeacher":
        """The model's own UNet as it is now."""
        return cls(deepcopy(model.get_submodule("unet")), dtype, offload)

    @classmethod
    def from_pretrained(cls, name: str, model: "LatentDiffusion", dtype: torch.dtype,
                        offload: Place | None = None) -> "FrozenTeacher":
        """The UNet of another pipeline; adapters of a step folder are merged into it.

        Raises:
            PretrainedError: it cannot be loaded.
            ValueError: it does not see the same latents, noise and text as the model.
        """
        with as_the_user_named(pretrained="model.distiller.teacher"):
            parts = model.family.load(resolve_pretrained(name))
        faults = _differences(parts, model)
        if faults:
            raise ValueError(f"model.distiller.teacher {name!r} cannot teach {model.pretrained!r}: "
                             + "; ".join(faults) + ".")
        return cls(parts["unet"], dtype, offload)

    @property
    def resident_bytes(self) -> int:
        """Bytes of its weights that are in memory at once, on the device that it runs on."""
        if self._offloaded is not None:
            return self._offloaded.largest
        if self._sharded is not None:
            return self._sharded.local_bytes
        return sum(parameter.nbytes for parameter in self.unet.parameters())

    def run(self, step: Step, layers: Iterable[str]) -> tuple[Tensor, dict[str, Tensor]]:
        """The teacher's prediction on a step, [B, C, h, w] in float32, and the outputs of some of its layers."""
        with Recorder(self.unet, layers) as recorder:
            prediction = self.predict(step.noisy_latents, step.timesteps, step.conditioning)
        return prediction, {path: output.clone() for path, output in recorder.outputs.items()}

    def predict(self, noisy_latents: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        """The teacher's prediction, [B, C, h, w] in float32."""
        dtype = floating_dtype(self.unet)
        with torch.inference_mode():
            arguments = conditioning.to(dtype).unet_arguments()
            prediction = self.unet(noisy_latents.to(dtype), timesteps, **arguments).sample.float()
        return prediction.clone()  # tensors of inference mode cannot be kept for the backward pass; their copies can

    def shard(self, spread: Callable[[nn.Module], ShardedNetwork]) -> None:
        """Lets ``spread`` share the weights out over the processes; from then on all of them must call it together."""
        self._sharded = spread(self.unet)

    def whole(self) -> nn.Module:
        """The network to paint with, on its own; all processes must call this where the weights are shared out."""
        return self.unet if self._sharded is None else self._sharded.gather()

    def apply(self, move: Callable[[Tensor], Tensor]) -> None:
        """Does to the weights what is done to the model's: moves them to a device."""
        self.unet._apply(move)

    def tensors(self) -> Mapping[str, Tensor]:
        """Its weights, by name."""
        return dict(self.unet.state_dict()) if self._offloaded is None else self._offloaded


def _differences(parts: Mapping[str, Any], model: "LatentDiffusion") -> list[str]:
    """What keeps the parts of another pipeline from teaching the model."""
    taught: Any = model.get_submodule("unet")
    found = [(f"unet.{name}", parts["unet"].config.get(name), taught.config.get(name)) for name in _SHARED]
    own: Any = model.get_submodule("vae")
    schedule, other = model.noise_scheduler, parts["noise_scheduler"]
    found += [(f"scheduler.{name}", other.config[name], schedule.config[name])
              for name in ("prediction_type", "num_train_timesteps")]
    found.append(("vae.scaling_factor", parts["vae"].config.scaling_factor, own.config.scaling_factor))
    faults = [f"its {name} is {theirs!r}, the model's is {ours!r}" for name, theirs, ours in found if theirs != ours]
    if not faults and not torch.allclose(other.alphas_cumprod, schedule.alphas_cumprod.to(other.alphas_cumprod)):
        faults.append("its noise schedule is another one")
    return faults
