"""The one trained model: a pipeline's parts, and the slots that say what is done to them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from diffkit.export.artifacts import Artifact, PipelineArtifact
from diffkit.export.size import export_bytes
from diffkit.export.writer import holds_pipeline
from diffkit.models.activations import ActivationMemory
from diffkit.models.caching import Caches, Keep
from diffkit.models.compiler import UNetCompiler
from diffkit.models.families.base import Conditioning
from diffkit.models.frozen import (
    cast_frozen,
    floating_dtype,
    frozen_tensors,
)
from diffkit.models.offload import Place
from diffkit.models.pipeline_parts import PipelineParts
from diffkit.models.resting import RestingParts
from diffkit.registry import DISTILLERS, MODELS, OBJECTIVES, PRUNERS, QUANTIZERS, TUNERS
from diffkit.utils.hashes import tensors_sha256
from diffkit.utils.pretrained import as_the_user_named, resolve_pretrained
from diffkit.utils.sharded import placed_like

#: What a config calls the arguments that name models.
_KEYS = {"pretrained": "model.pretrained", "vae": "model.vae", "allow_pickle": "model.family.allow_pickle=True"}


@MODELS.register_module()
class LatentDiffusion(PipelineParts):
    """Any text-conditioned latent diffusion model, and what is trained, cut, quantised and taught in it.

    Args:
        family: a config of FAMILIES: how the parts are loaded and run.
        pretrained: a packaged name (``mini-sd``), a diffusers folder, a ``step<N>`` folder or a hub id; None takes
            the random weights of ``family.scratch``.
        tuners: configs of TUNERS by a name of the user's; at least one.
        objective: a config of OBJECTIVES; denoising by default.
        pruner: a config of PRUNERS.
        quantizer: a config of QUANTIZERS.
        distiller: a config of DISTILLERS.
        prior_loss_weight: weight of the prior samples' mean loss, 0 or more.
        gradient_checkpointing: recompute activations of components that gradients pass through, to save memory;
            ``auto`` does so where the first step shows that they do not fit
            (:class:`~diffkit.models.activations.ActivationMemory`).
        compile: options of :class:`~diffkit.models.compiler.UNetCompiler`; None compiles nothing.
        memory_format: ``channels_last`` lays the weights of the UNet's convolutions out as many GPUs and CPUs like it
            best; None leaves them as they are.
        frozen_dtype: number format of weights that are not trained: ``float32``, ``bfloat16``, ``float16``, or
            ``auto``: bfloat16 on CUDA and float32 on a CPU. The VAE stays in float32, where its outputs are finite.
        cache_latents: keep the latents of pictures that have a key, while the VAE is frozen: in memory, or on
            ``"disk"`` for later trainings too.
        cache_text: keep the states of prompts, while the text encoders are frozen; the same.
        cache_folder: where that lies on disk; None is the user's cache folder.
        offload: where the weights of the frozen VAE and text encoders wait until these run, which caches make rare:
            ``"disk"``, or ``"cpu"``, which saves memory on another device; None keeps them in memory.
        vae: another folder or hub id for the VAE.
        generation: default settings of :meth:`generate`.
        data_preprocessor: MMEngine's; moves batches to the device.
    """

    def __init__(self, family: dict, pretrained: str | None, tuners: dict[str, dict], objective: dict | None = None,
                 pruner: dict | None = None, quantizer: dict | None = None, distiller: dict | None = None,
                 prior_loss_weight: float = 1.0, gradient_checkpointing: bool | Literal["auto"] = False,
                 compile: dict | None = None, memory_format: Literal["channels_last"] | None = None,
                 frozen_dtype: str = "auto", cache_latents: Keep = True, cache_text: Keep = True,
                 cache_folder: str | None = None, offload: Place | None = None, vae: str | None = None,
                 generation: dict | None = None, data_preprocessor: dict | None = None) -> None:
        super().__init__(family, generation, data_preprocessor)
        if prior_loss_weight < 0:
            raise ValueError(f"prior_loss_weight is {prior_loss_weight}; it must be 0 or more.")
        if not tuners:
            raise ValueError("tuners is empty: name at least one, or nothing is trained.")
        self.pretrained = pretrained
        self.tuners = {name: TUNERS.build(config) for name, config in tuners.items()}
        self.pruner = PRUNERS.build(pruner) if pruner else None
        self.distiller = DISTILLERS.build(distiller) if distiller else None
        self.objective = OBJECTIVES.build(objective or {"type": "Denoising"})
        if self.distiller is not None and not self.objective.runs_unet:
            raise ValueError(f"model.distiller: the objective {type(self.objective).__name__} does not run the UNet, "
                             "so that a teacher has nothing to say; leave the distiller out.")
        self.prior_loss_weight = prior_loss_weight
        self.compiler = None if compile is None else UNetCompiler(**compile)
        self.activations = ActivationMemory(gradient_checkpointing)
        if memory_format not in (None, "channels_last"):
            raise ValueError(f"memory_format is {memory_format!r}; allowed: None, 'channels_last'.")
        if memory_format and quantizer:
            raise ValueError("memory_format and a quantizer exclude each other: leave memory_format out.")
        if quantizer and gradient_checkpointing == "auto":
            raise ValueError("gradient_checkpointing='auto' would let a quantised UNet see its first batch twice; "
                             "say True or False.")
        with as_the_user_named(**_KEYS):
            self.source = None if pretrained is None else resolve_pretrained(pretrained)
            self._take_parts(self.family.load(self.source, vae=vae, check=self._check_slots))
        self._fill_slots(quantizer)
        self.activations.begin(self.components)
        cast_frozen(self.components, frozen_dtype)
        if memory_format is not None:
            unet: Any = self.get_submodule("unet")
            unet.to(memory_format=torch.channels_last)
        if self.compiler is not None:
            self.compiler.apply(self.get_submodule("unet"), self.recording(), bool(gradient_checkpointing))
        caches = Caches(self, cache_latents, cache_text, cache_folder)
        stays = {"unet", getattr(self.quantizer, "component", None)}
        self._resting = RestingParts(
            {name: part for name, part in self.components.items() if name not in stays}, offload)
        self.latent_cache, self.text_cache = caches.latents, caches.text
        self._cache_rows = [*caches.rows, *self._resting.rows()]
        self.train()

    def _check_slots(self, components: Mapping[str, nn.Module]) -> None:
        """Looks at networks without values, in the order in which the slots will act."""
        student = components if self.pruner is None else self.pruner.preview(components)
        for tuner in self.tuners.values():
            tuner.check(student)
        if self.distiller is not None:
            self.distiller.check(components, student)

    def _fill_slots(self, quantizer: dict | None) -> None:
        """Builds what fills the slots and lets it act. This is the one place that decides the order."""
        self.quantizer = QUANTIZERS.build(quantizer) if quantizer else None
        for component in self.components.values():
            component.requires_grad_(False)
        if self.distiller is not None:
            self.distiller.take_teacher(self)  # before the student changes
        if self.pruner is not None:
            self.pruner.apply(self)
        for tuner in self.tuners.values():
            tuner.apply(self)
        if self.quantizer is not None:
            self.quantizer.apply(self)
        if self.distiller is not None:
            self.distiller.attach(self)

    def cache_rows(self) -> list[tuple[str, str]]:
        """What is kept of the encoders' outputs, and where, or why not: a name and a text each."""
        return list(self._cache_rows)

    # --- a step

    def forward(self, mode: str = "loss", **batch: Any) -> Any:
        """Called by MMEngine with a collated batch.

        Args:
            mode: ``loss`` gives the terms of the loss; ``predict`` gives dicts with ``image`` (uint8 [H, W, 3]) and
                all that the batch holds for it: by default one picture sampled for each prompt (see
                :meth:`Objective.predict`).
            batch: see :func:`diffkit.datasets.collate_samples`.
        """
        if mode == "loss":
            if self.compiler is not None:
                self.compiler.begin_step()
            return self.activations.run(self.components, lambda: self.objective.losses(self, batch))
        if mode == "predict":
            return self.objective.predict(self, batch)
        raise ValueError(f"LatentDiffusion: mode is {mode!r}; allowed: 'loss', 'predict'.")

    def encode_images(self, pixels: Tensor, keys: Sequence[str | None] | None = None,
                      generators: Sequence[torch.Generator] | None = None) -> Tensor:
        """Samples scaled latents [B, C, h, w] of pixels [B, 3, H, W] in [-1, 1].

        Args:
            keys: names of the pictures for the cache, one for each; None encodes them all.
            generators: one for each picture; None draws from the generator of torch.
        """
        vae: Any = self.get_submodule("vae")
        device = pixels.device.type
        overflows = torch.get_autocast_dtype(device) == torch.float16  # the VAE of SDXL does, in this format
        frozen = self.latent_cache is not None or self._is_frozen("vae")
        with (torch.no_grad() if frozen else nullcontext(),
              torch.autocast(device, enabled=False) if overflows else nullcontext()):
            if self.latent_cache is None or keys is None:
                posterior = vae.encode(pixels).latent_dist
            else:
                posterior = self.latent_cache.posterior(pixels, keys, lambda missing: vae.encode(missing).latent_dist)
            if generators is None:
                return posterior.sample().float() * vae.config.scaling_factor
            noise = torch.cat([torch.randn(posterior.mean[:1].shape, generator=each) for each in generators])
            drawn = posterior.mean + posterior.std * noise.to(posterior.mean)
            return drawn.float() * vae.config.scaling_factor

    def non_finite_inputs(self, batch: dict[str, Any]) -> dict[str, list[int]]:
        """The rows of a batch whose pixels, or else whose latents, are not finite, under ``pixels`` and ``latents``."""
        pixels = ~batch["pixel_values"].isfinite().flatten(1).all(1)
        latents = ~self.encode_images(batch["pixel_values"], batch.get("key")).isfinite().flatten(1).all(1)
        return {"pixels": pixels.nonzero().flatten().tolist(),
                "latents": (latents & ~pixels).nonzero().flatten().tolist()}

    def encode_prompts(self, batch: dict[str, Any]) -> Conditioning:
        """The conditioning of a batch: its prompts, and for SDXL the sizes of its pictures."""
        if self.text_cache is None:
            text = self.family.encode_text(self.parts, batch["prompt"])
        else:
            with torch.no_grad():
                text = self.text_cache.encode(
                    batch["prompt"], lambda missing: self.family.encode_text(self.parts, missing), self.device)
        pixels = batch["pixel_values"]
        height, width = pixels.shape[-2:]
        count = len(pixels)
        whole = pixels.new_tensor([[height, width]]).expand(count, 2)
        return self.family.complete(text, batch.get("original_size", whole),
                                    batch.get("crop_top_left", torch.zeros_like(whole)), (height, width))

    def predict(self, noisy_latents: Tensor, timesteps: Tensor, conditioning: Conditioning,
                weights: dict[str, Tensor] | None = None) -> Tensor:
        """The UNet's output, in float32; with ``weights`` in the place of its own of the same names."""
        unet: Any = self.get_submodule("unet")
        dtype = floating_dtype(unet)
        inputs, arguments = (noisy_latents.to(dtype), timesteps), conditioning.to(dtype).unet_arguments()
        said = unet(*inputs, **arguments) if weights is None else functional_call(unet, weights, inputs, arguments)
        return said.sample.float()

    def recording(self) -> AbstractContextManager[None]:
        """The distiller's recorder of student layers, or nothing."""
        return nullcontext() if self.distiller is None else self.distiller.recording()

    # --- sampling

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Evaluation mode without gradients, nothing compiled, inside ``with``; then the training's mode comes back."""
        training = self.training
        self.eval()
        try:
            with torch.no_grad(), nullcontext() if self.compiler is None else self.compiler.off():
                yield
        finally:
            self.train(training)

    @contextmanager
    def adapters_disabled(self) -> Iterator[None]:
        """Shows the model as it was before training inside ``with``.

        Raises:
            NotImplementedError: a tuner trained the base weights themselves.
        """
        with ExitStack() as stack:
            for tuner in self.tuners.values():
                stack.enter_context(tuner.disabled(self))
            yield

    @contextmanager
    def teacher_shown(self) -> Iterator[None]:
        """Shows the teacher in the student's place inside ``with``, where there is one: prior pictures are its."""
        with nullcontext() if self.distiller is None else self.distiller.shown(self):
            yield

    @property
    def painter(self) -> str:
        """What paints inside :meth:`teacher_shown`, as the user named it."""
        cut = f", cut by {self.pruner.describe()}" if self.pruner is not None and self.distiller is None else ""
        return f"{(self.distiller and self.distiller.source) or self.pretrained}{cut}"

    # --- what tuners say

    def statistics(self) -> dict[str, float]:
        """Figures on what is trained, by name: norms and angles of learned vectors, for instance."""
        return {name: value for tuner in self.tuners.values() for name, value in tuner.statistics().items()}

    def check_prompts(self, prompts: Sequence[str]) -> None:
        """Raises ValueError where training with these prompts would be in vain."""
        for tuner in self.tuners.values():
            tuner.check_prompts(prompts)

    # --- checkpoints

    def trainable_parameters(self) -> dict[str, nn.Parameter]:
        """What the optimizer sees, by full name."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def _slot_buffers(self) -> dict[str, Tensor]:
        """What objective and distiller remember from step to step."""
        return {f"{slot}.{name}": buffer for slot in ("objective", "distiller") if getattr(self, slot) is not None
                for name, buffer in getattr(self, slot).named_buffers()}

    def trainable_state(self) -> dict[str, Tensor]:
        """All that training changes: a checkpoint holds this and not the frozen weights."""
        state = {name: parameter.data for name, parameter in self.trainable_parameters().items()}
        state.update(self._slot_buffers())
        if self.quantizer is not None:
            state.update(self.quantizer.state(self))
        return state

    def load_trainable_state(self, state: dict[str, Tensor]) -> None:
        """The inverse of :meth:`trainable_state`.

        Raises:
            ValueError: a key is missing, unknown or of another shape; nothing has been changed then.
        """
        own = self.trainable_state()
        _check_fits(own, state)
        quantizer_state = self.quantizer.state(self).keys() if self.quantizer is not None else set()
        with torch.no_grad():
            for name in own.keys() - quantizer_state:
                own[name].copy_(placed_like(state[name], own[name]))
        if self.quantizer is not None:
            self.quantizer.load_state(self, {name: state[name] for name in quantizer_state})

    def frozen_digest(self) -> str:
        """SHA-256 over names and values of the frozen weights and of a teacher's, hexadecimal."""
        taught = {} if self.distiller is None else {"teacher": self.distiller.frozen_tensors()}
        owners = {**frozen_tensors(self.components), **taught}
        return tensors_sha256((f"{owner}.{name}", self._resting.value(owner, name, tensor))
                              for owner, tensors in owners.items()
                              for name, tensor in sorted(tensors.items()))

    def artifacts(self) -> list[Artifact]:
        """What users find in a checkpoint beside the training's state."""
        self.objective.before_export(self)
        return self._planned_artifacts()

    def export_bytes(self) -> int:
        """About how many bytes the files of :meth:`artifacts` take."""
        planned = self._planned_artifacts()
        resting = self._resting.nbytes if holds_pipeline(planned) else 0
        return resting + export_bytes(planned, {**self._other_parts, **self.components})

    def _planned_artifacts(self) -> list[Artifact]:
        found = [tuner.artifact(self) for tuner in self.tuners.values()
                 if self.quantizer is None or not self.quantizer.holds(tuner)]
        if self.quantizer is not None:
            found.append(self.quantizer.artifact(self))
        if self.pruner is not None:  # an adapter or a word alone would not fit the model that was named
            found.append(PipelineArtifact())
        return list(dict.fromkeys(found))


def _check_fits(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    """Raises ValueError where a state has other names or shapes than a model's own; ten faults are named."""
    faults = [f"missing: {name}" for name in own.keys() - given.keys()]
    faults += [f"unknown: {name}" for name in given.keys() - own.keys()]
    faults += [f"{name} is {list(given[name].shape)}, the model has {list(own[name].shape)}"
               for name in own.keys() & given.keys() if own[name].shape != given[name].shape]
    if faults:
        raise ValueError(f"The checkpoint does not fit the model ({len(faults)} faults): "
                         + "; ".join(sorted(faults)[:10]))
