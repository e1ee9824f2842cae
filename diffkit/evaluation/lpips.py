"""LPIPS: how different two pictures look, by the layers of a classifier (Zhang et al. 2018)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from diffkit.evaluation.encoders import Picture, as_pil
from diffkit.evaluation.weights import load_strictly, load_tensors_of
from diffkit.utils.device import choose_device

_SOURCE = ("It holds both the classifier and the weights of its layers. Where there is a network, the package lpips "
           "makes it: safetensors.torch.save_file(lpips.LPIPS(net='alex').state_dict(), 'lpips_alex.safetensors').")
#: Slices of the classifiers: "poolKS" is a maximum over K x K with stride S; a convolution, with a ReLU behind it, is
#: (its number in ``features`` of torchvision, outputs, kernel, stride, padding).
_ALEX = ([(0, 64, 11, 4, 2)], ["pool32", (3, 192, 5, 1, 2)], ["pool32", (6, 384, 3, 1, 1)], [(8, 256, 3, 1, 1)],
         [(10, 256, 3, 1, 1)])
_VGG = (
    [(0, 64, 3, 1, 1), (2, 64, 3, 1, 1)], ["pool22", (5, 128, 3, 1, 1), (7, 128, 3, 1, 1)],
    ["pool22", (10, 256, 3, 1, 1), (12, 256, 3, 1, 1), (14, 256, 3, 1, 1)],
    ["pool22", (17, 512, 3, 1, 1), (19, 512, 3, 1, 1), (21, 512, 3, 1, 1)],
    ["pool22", (24, 512, 3, 1, 1), (26, 512, 3, 1, 1), (28, 512, 3, 1, 1)])
NETWORKS: dict[str, tuple[list[Any], ...]] = {"alex": _ALEX, "vgg": _VGG}
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


class LpipsNetwork(nn.Module):
    """Distances ``[N]`` of two batches ``[N, 3, H, W]`` in [-1, 1]; names of layers are those of the package lpips.

    Args:
        net: ``alex`` or ``vgg``.
    """

    def __init__(self, net: str = "alex") -> None:
        super().__init__()
        slices = nn.ModuleDict()
        channels = 3
        for number, parts in enumerate(NETWORKS[net]):
            row = nn.ModuleDict()
            for part in parts:
                if isinstance(part, str):
                    row[part] = nn.MaxPool2d(int(part[4]), int(part[5]))
                else:
                    name, outputs, kernel, stride, padding = part
                    row[str(name)] = nn.Conv2d(channels, outputs, kernel, stride, padding)
                    channels = outputs
            slices[f"slice{number + 1}"] = row
            self.add_module(f"lin{number}", nn.ModuleDict({"model": nn.ModuleDict({
                "1": nn.Conv2d(channels, 1, 1, bias=False)})}))
        self.net = slices
        self.rows: list[list[nn.Module]] = [list(row.children()) for row in slices.children()]
        self.register_buffer("shift", torch.tensor(_SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(_SCALE).view(1, 3, 1, 1), persistent=False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        pairs = zip(self.features(first), self.features(second), strict=True)
        return self.weigh([(a - b) ** 2 for a, b in pairs])

    def weigh(self, squares: Sequence[Tensor]) -> Tensor:
        """Distances ``[N]`` from the squared differences of the features of each layer."""
        return torch.stack([self.get_submodule(f"lin{number}.model.1")(square).mean((1, 2, 3))
                            for number, square in enumerate(squares)]).sum(0)

    def features(self, x: Tensor) -> list[Tensor]:
        """Of each slice: its output ``[N, C, H, W]``, of length 1 over the channels."""
        x = (x - self.get_buffer("shift")) / self.get_buffer("scale")
        found = []
        for row in self.rows:
            for layer in row:
                x = layer(x)
                if isinstance(layer, nn.Conv2d):
                    x = torch.relu(x)
            found.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return found


class Lpips:
    """LPIPS of pairs of pictures.

    Args:
        weights: a file with the state of ``lpips.LPIPS``.
        net: ``alex`` or ``vgg``, as the file was made.
        device: None takes a GPU where there is one.
        allow_pickle: also read ``.pth`` files: tensors alone, no code.

    Raises:
        ValueError: ``net`` is unknown.
        MetricWeightsError: the weights are not there, or do not fit.
    """

    def __init__(self, weights: str, net: str = "alex", device: str | None = None, allow_pickle: bool = False) -> None:
        if net not in NETWORKS:
            raise ValueError(f"net must be one of {', '.join(NETWORKS)}, not {net!r}")
        self.device = choose_device(device)
        network = LpipsNetwork(net)
        load_strictly(network, load_tensors_of(weights, "LPIPS", _SOURCE, allow_pickle), weights, "LPIPS")
        self.network = network.eval().requires_grad_(False).to(self.device)

    @torch.no_grad()
    def __call__(self, first: Sequence[Picture], second: Sequence[Picture]) -> np.ndarray:
        """Float32 ``[N]``: 0 for equal pictures; each pair has one size."""
        return np.array([float(self.network(self._prepare(a), self._prepare(b)))
                         for a, b in zip(first, second, strict=True)], dtype=np.float32)

    @torch.no_grad()
    def mean_distance(self, images: Sequence[Picture]) -> float:
        """The mean LPIPS of all pairs of two pictures or more; the network is called once for each picture.

        The mean square of the difference of all pairs of n values is their sample variance twice, so that two sums for
        each feature are enough (Welford 1962: running means, in float64).

        Raises:
            ValueError: there are fewer than two, or they are not of one size.
        """
        sizes = {as_pil(image).size for image in images}
        if len(images) < 2 or len(sizes) > 1:
            raise ValueError(f"images must be two or more of one size, got {len(images)} of {sorted(sizes)}")
        means: list[Tensor] = []
        spreads: list[Tensor] = []
        for number, image in enumerate(images, start=1):
            found = [each.double() for each in self.network.features(self._prepare(image))]
            if number == 1:
                means, spreads = found, [torch.zeros_like(each) for each in found]
                continue
            for value, mean, spread in zip(found, means, spreads, strict=True):
                before = value - mean
                mean += before / number
                spread += before * (value - mean)
        return float(self.network.weigh([(2 * each / (len(images) - 1)).float() for each in spreads]))

    def _prepare(self, image: Picture) -> Tensor:
        levels = torch.from_numpy(np.array(as_pil(image))).permute(2, 0, 1)[None].to(self.device)
        return levels.float() / 127.5 - 1
