"""The Inception network that FID, KID and the inception score are defined by: that of TensorFlow, 2015-12-05.

It is Inception v3 (Szegedy et al. 2016) with 1008 classes, average pooling that leaves the padding out, and a maximum
in the pooling branch of the last block. The names of the layers are those of the file that pytorch-fid and
torch-fidelity load.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffkit.evaluation.encoders import Picture, as_pil, batches
from diffkit.evaluation.weights import load_strictly, load_tensors_of
from diffkit.utils.device import choose_device

_SOURCE = ("Fetch pt_inception-2015-12-05-6726825d.pth, which the projects pytorch-fid and torch-fidelity publish with "
           "their releases on GitHub, and give its path; a .pth file needs allow_pickle=True (tensors alone, no code).")
PREPROCESSINGS = ("pytorch-fid", "torch-fidelity")
_SIDE, _BATCH = 299, 16


class _Conv(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int | tuple[int, int], stride: int = 1) -> None:
        super().__init__()
        size = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (size[0] // 2, size[1] // 2) if stride == 1 else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class _Valid(_Conv):
    """The same without padding."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride)
        self.conv.padding = (0, 0)


class _Block(nn.Module):
    """Branches side by side, whose outputs are stacked.

    Args:
        inputs: channels.
        branches: for each branch its convolutions in a row as (name, outputs, kernel, stride); where names are a pair,
            both get the same input and their outputs are stacked.
        pool: of the last branch: "mean", or "max"; its convolution, ``branch_pool``, has so many outputs, 0 for none.
        pool_outputs: see ``pool``.
        shrinks: pooling halves the sides.
    """

    def __init__(self, inputs: int, branches: Sequence[Sequence[tuple]], pool: str, pool_outputs: int = 0,
                 shrinks: bool = False) -> None:
        super().__init__()
        self.branches = branches
        self.pool, self.shrinks = pool, shrinks
        for branch in branches:
            channels = inputs
            for names, outputs, kernels, stride in branch:
                pairs = zip(names, kernels, strict=True) if isinstance(names, tuple) else [(names, kernels)]
                for name, kernel in pairs:
                    self.add_module(name, _Conv(channels, outputs, kernel, stride))
                channels = outputs
        if pool_outputs:
            self.branch_pool = _Conv(inputs, pool_outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for branch in self.branches:
            values = x
            for names, *_ in branch:
                layers = [self.get_submodule(name) for name in (names if isinstance(names, tuple) else (names,))]
                values = torch.cat([layer(values) for layer in layers], 1)
            found.append(values)
        pooled = self._pooled(x)
        found.append(self.branch_pool(pooled) if hasattr(self, "branch_pool") else pooled)
        return torch.cat(found, 1)

    def _pooled(self, x: Tensor) -> Tensor:
        if self.shrinks:
            return F.max_pool2d(x, 3, 2)
        if self.pool == "max":
            return F.max_pool2d(x, 3, 1, 1)
        return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def _block_a(inputs: int, pool: int) -> _Block:
    return _Block(inputs, [
        [("branch1x1", 64, 1, 1)], [("branch5x5_1", 48, 1, 1), ("branch5x5_2", 64, 5, 1)],
        [("branch3x3dbl_1", 64, 1, 1), ("branch3x3dbl_2", 96, 3, 1), ("branch3x3dbl_3", 96, 3, 1)]], "mean", pool)


def _block_b(inputs: int) -> _Block:
    return _Block(inputs, [
        [("branch3x3", 384, 3, 2)],
        [("branch3x3dbl_1", 64, 1, 1), ("branch3x3dbl_2", 96, 3, 1), ("branch3x3dbl_3", 96, 3, 2)]],
        "max", shrinks=True)


def _block_c(inputs: int, inner: int) -> _Block:
    wide, high = (1, 7), (7, 1)
    return _Block(inputs, [
        [("branch1x1", 192, 1, 1)],
        [("branch7x7_1", inner, 1, 1), ("branch7x7_2", inner, wide, 1), ("branch7x7_3", 192, high, 1)],
        [("branch7x7dbl_1", inner, 1, 1), ("branch7x7dbl_2", inner, high, 1), ("branch7x7dbl_3", inner, wide, 1),
         ("branch7x7dbl_4", inner, high, 1), ("branch7x7dbl_5", 192, wide, 1)]], "mean", 192)


def _block_d(inputs: int) -> _Block:
    return _Block(inputs, [
        [("branch3x3_1", 192, 1, 1), ("branch3x3_2", 320, 3, 2)],
        [("branch7x7x3_1", 192, 1, 1), ("branch7x7x3_2", 192, (1, 7), 1), ("branch7x7x3_3", 192, (7, 1), 1),
         ("branch7x7x3_4", 192, 3, 2)]], "max", shrinks=True)


def _block_e(inputs: int, pool: str) -> _Block:
    pair = ((1, 3), (3, 1))
    return _Block(inputs, [
        [("branch1x1", 320, 1, 1)],
        [("branch3x3_1", 384, 1, 1), (("branch3x3_2a", "branch3x3_2b"), 384, pair, 1)],
        [("branch3x3dbl_1", 448, 1, 1), ("branch3x3dbl_2", 384, 3, 1),
         (("branch3x3dbl_3a", "branch3x3dbl_3b"), 384, pair, 1)]], pool, 192)


class InceptionNetwork(nn.Module):
    """Pictures ``[N, 3, 299, 299]`` in [-1, 1] to features ``[N, 2048]`` and logits ``[N, 1008]`` without their bias.

    The inception score of torch-fidelity is computed from logits without bias, as in TensorFlow's program.
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Valid(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = _Valid(32, 32, 3)
        self.Conv2d_2b_3x3 = _Conv(32, 64, 3)
        self.Conv2d_3b_1x1 = _Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = _Valid(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _block_a(192, 32), _block_a(256, 64), _block_a(288, 64)
        self.Mixed_6a = _block_b(288)
        self.Mixed_6b, self.Mixed_6c = _block_c(768, 128), _block_c(768, 160)
        self.Mixed_6d, self.Mixed_6e = _block_c(768, 160), _block_c(768, 192)
        self.Mixed_7a = _block_d(768)
        self.Mixed_7b, self.Mixed_7c = _block_e(1280, "mean"), _block_e(2048, "max")
        self.fc = nn.Linear(2048, 1008)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for name, layer in self.named_children():
            if name == "fc":
                break
            x = layer(x)
            if name in ("Conv2d_2b_3x3", "Conv2d_4a_3x3"):
                x = F.max_pool2d(x, 3, 2)
        features = x.mean((2, 3))
        return features, features @ self.fc.weight.T


class Inception:
    """Features and logits of pictures.

    Args:
        weights: the file with the weights.
        preprocessing: how pictures get to 299 pixels: as pytorch-fid does (bilinear, between the middles of pixels), or
            as torch-fidelity and TensorFlow 1 do (bilinear, between their corners). Their figures are not the same.
        device: None takes a GPU where there is one.
        allow_pickle: also read ``.pth`` files: tensors alone, no code.

    Raises:
        ValueError: ``preprocessing`` is unknown.
        MetricWeightsError: the weights are not there, or do not fit.
    """

    def __init__(self, weights: str, preprocessing: str = "pytorch-fid", device: str | None = None,
                 allow_pickle: bool = False) -> None:
        if preprocessing not in PREPROCESSINGS:
            raise ValueError(f"preprocessing must be one of {', '.join(PREPROCESSINGS)}, not {preprocessing!r}")
        self.preprocessing, self.device = preprocessing, choose_device(device)
        tensors = load_tensors_of(weights, "Inception", _SOURCE, allow_pickle)
        network = InceptionNetwork()
        counters = {name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}
        load_strictly(network, {**counters, **tensors}, weights, "Inception")
        self.network = network.eval().requires_grad_(False).to(self.device)

    @torch.no_grad()
    def __call__(self, images: Sequence[Picture]) -> tuple[np.ndarray, np.ndarray]:
        """Features float32 ``[N, 2048]`` and logits ``[N, 1008]`` of pictures of any sizes."""
        features, logits = [], []
        for batch in batches(images, _BATCH):
            pixels = torch.cat([self._prepare(image) for image in batch])
            found = self.network(pixels)
            features.append(found[0].float().cpu().numpy())
            logits.append(found[1].float().cpu().numpy())
        return np.concatenate(features), np.concatenate(logits)

    def _prepare(self, image: Picture) -> Tensor:
        levels = torch.from_numpy(np.array(as_pil(image))).permute(2, 0, 1)[None].to(self.device).float()
        if self.preprocessing == "pytorch-fid":
            return 2 * F.interpolate(levels / 255, (_SIDE, _SIDE), mode="bilinear", align_corners=False) - 1
        return (resize_between_corners(levels, _SIDE) - 128) / 128


def resize_between_corners(pixels: Tensor, side: int) -> Tensor:
    """Bilinear, as TensorFlow 1 with ``align_corners=False``: output pixel ``i`` lies at ``i * size / side``."""
    for axis in (2, 3):
        size = pixels.shape[axis]
        places = torch.arange(side, device=pixels.device, dtype=torch.float32) * (size / side)
        low = places.floor().long()
        high = (low + 1).clamp(max=size - 1)
        share = (places - low).view([-1 if i == axis else 1 for i in range(4)])
        below, above = pixels.index_select(axis, low), pixels.index_select(axis, high)
        pixels = below + (above - below) * share
    return pixels
