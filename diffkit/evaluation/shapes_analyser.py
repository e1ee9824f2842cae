"""Reads what a picture of the shapes world shows. Nothing here is learned.

The backdrop is the border's median. What differs from it, apart from a darker or lighter backdrop, is the
object. Its shape is the template that overlaps most; its colours are the palette's pair that explains its
pixels best; its texture is the pattern that correlates most with where the two colours are.

The thresholds below were set on drawings, also blurred ones, and are not to be changed once models have been
scored with them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image
from scipy import ndimage

from diffkit.datasets.shapes.colour_space import palette_lab, rgb_to_lab
from diffkit.datasets.shapes.vocabulary import BACKGROUNDS, COLOURS, SHAPES
from diffkit.evaluation.shapes_templates import box_grid, object_box, pattern_templates, shape_templates

NONE = "none"

#: Lab distance from the backdrop at which a pixel may belong to the object.
OBJECT_DISTANCE = 18.0
#: An object covers at least this share of the picture.
MIN_AREA = 0.01
#: Overlap (intersection over union) with a template below which an object has no known shape.
MIN_OVERLAP = 0.60
#: Lab distance between the two ends of an object's colours from which it has two colours.
TWO_COLOURS = 26.0
#: Correlation with a pattern below which two colours make no known texture.
MIN_PATTERN = 0.50
#: Half of the object's longer side, in units of half the picture's side, that part small, medium and large.
SIZE_LIMITS = (0.38, 0.54)
#: The same length from which a region is no object: it fills the picture, as noise does.
MAX_HALF = 0.85
#: Distance of the object's middle from the picture's, in the same unit, from which it is off the centre.
OFF_CENTRE = 0.155


@dataclass(frozen=True)
class Reading:
    """What a picture shows. An attribute that could not be read is ``"none"``.

    Attributes:
        shape: one of ``SHAPES``.
        colour: the object's colour; of two, the one that the dots lie on, or else the more frequent one.
        second_colour: the other colour, None for an object of one colour.
        texture: one of ``TEXTURES``.
        size: one of ``SIZES``.
        position: one of ``POSITIONS``.
        background: one of ``BACKGROUNDS``.
        overlap: intersection over union with the best template, 0..1.
        pattern: correlation with the best pattern, 0..1; 0 for an object of one colour.
        spread: Lab distance between the two ends of the object's colours.
    """

    shape: str
    colour: str
    second_colour: str | None
    texture: str
    size: str
    position: str
    background: str
    overlap: float = 0.0
    pattern: float = 0.0
    spread: float = 0.0

    def matches(self, expected: Mapping[str, str | None]) -> dict[str, bool]:
        """Compare with expected attributes: for each that is given, whether the picture shows it.

        ``colour`` is right when the picture has exactly the expected colours, in either order; it covers
        ``second_colour``, which gets no entry of its own.
        """
        right: dict[str, bool] = {}
        for name, value in expected.items():
            if name == "colour":
                right[name] = {self.colour, self.second_colour} == {value, expected.get("second_colour")}
            elif name != "second_colour":
                if name not in ("shape", "texture", "size", "position", "background"):
                    raise ValueError(f"expected has an unknown attribute {name!r}")
                right[name] = getattr(self, name) == value
        return right


def analyse(image: np.ndarray | Image.Image, resolution: int = 64) -> Reading:
    """Read a picture.

    Args:
        image: uint8 sRGB ``[H, W, 3]``, or a PIL image.
        resolution: side, in pixels, at which the picture is read; others are resized.
    """
    rgb = _as_float(image, resolution)
    lab = rgb_to_lab(rgb)
    backdrop = _backdrop(rgb)
    background = _nearest(rgb_to_lab(backdrop), BACKGROUNDS)
    distance = _distance_from(rgb, lab, backdrop)
    mask = _object_mask(distance)
    if mask is None:
        return Reading(NONE, NONE, None, NONE, NONE, NONE, background)
    top, bottom, left, right = object_box(mask)
    half = max(bottom - top, right - left) / 2
    if 2 * half / resolution > MAX_HALF:
        return Reading(NONE, NONE, None, NONE, NONE, NONE, background)
    middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
    at = box_grid(middle_x, middle_y, half * 1.05)
    shape, overlap = _shape(ndimage.map_coordinates(mask.astype(np.float32), at, order=1))
    core = ndimage.binary_erosion(mask)
    if core.sum() < 12:
        core = mask
    inner = _inner_half(mask)
    spread = _colour_spread(lab[inner])
    size = ("small", "medium", "large")[int(np.searchsorted(SIZE_LIMITS, 2 * half / resolution))]
    position = _position(2 * middle_x / resolution - 1, 2 * middle_y / resolution - 1)
    if spread < TWO_COLOURS:
        colour = _nearest(np.median(lab[inner], axis=0), COLOURS)
        return Reading(shape, colour, None, "plain", size, position, background, overlap, 0.0, spread)
    first, second, mix, error = _two_colours(rgb, core)
    texture, pattern = _texture(mix, core, at)
    if texture == NONE:
        colour, blur_error = _one_colour(rgb, core, backdrop)
        if blur_error <= error:
            return Reading(shape, colour, None, "plain", size, position, background, overlap, 0.0, spread)
    # A negative correlation means that the dots have the first colour. Stripes and checks have no such order.
    if pattern < 0 if texture == "dotted" else mix[core].mean() > 0.5:
        first, second = second, first
    return Reading(shape, first, second, texture, size, position, background, overlap, abs(pattern), spread)


def _as_float(image: np.ndarray | Image.Image, resolution: int) -> np.ndarray:
    if isinstance(image, Image.Image):
        image = np.asarray(image.convert("RGB"))
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        given = getattr(image, "dtype", type(image).__name__)
        raise TypeError(f"image must be a PIL image or a uint8 array, got {given}")
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image must have the shape [H, W, 3], got {list(image.shape)}")
    if image.shape[:2] != (resolution, resolution):
        method = Image.Resampling.BOX if min(image.shape[:2]) > resolution else Image.Resampling.BICUBIC
        image = np.asarray(Image.fromarray(image).resize((resolution, resolution), method))
    return image.astype(np.float32) / 255


@cache
def _palette(backgrounds: bool) -> np.ndarray:
    return palette_lab(BACKGROUNDS if backgrounds else COLOURS)


def _nearest(lab: np.ndarray, palette: dict[str, tuple[int, int, int]]) -> str:
    distances = np.linalg.norm(_palette(palette is BACKGROUNDS) - lab, axis=1)
    return list(palette)[int(distances.argmin())]


def _backdrop(rgb: np.ndarray) -> np.ndarray:
    wide = max(1, len(rgb) // 32)
    sides = (rgb[:wide], rgb[-wide:], rgb[wide:-wide, :wide], rgb[wide:-wide, -wide:])
    return np.median(np.concatenate([side.reshape(-1, 3) for side in sides]), axis=0)


def _distance_from(rgb: np.ndarray, lab: np.ndarray, backdrop: np.ndarray) -> np.ndarray:
    """Lab distance of each pixel from the backdrop; shadow and light on it make no difference."""
    light = np.clip(rgb @ backdrop / max(float(backdrop @ backdrop), 1e-4), 0.65, 1.12)
    lit = rgb_to_lab(light[..., None] * backdrop)
    plain = np.linalg.norm(lab - rgb_to_lab(backdrop), axis=-1)
    return np.minimum(plain, np.linalg.norm(lab - lit, axis=-1))


def _object_mask(distance: np.ndarray) -> np.ndarray | None:
    """The largest region that differs from the backdrop; None when there is none."""
    mask = _largest(distance > OBJECT_DISTANCE)
    if mask.mean() < MIN_AREA:
        return None
    # A soft edge is halfway between object and backdrop, so an object that differs more has a higher limit.
    inner = distance[mask]
    limit = max(OBJECT_DISTANCE, 0.5 * float(np.quantile(inner, 0.25)))
    return _largest(distance > limit)


def _largest(mask: np.ndarray) -> np.ndarray:
    # Closing joins the parts of a pattern whose soft edges happen to have the backdrop's colour.
    mask = np.pad(mask, 1)
    mask = (mask | ndimage.binary_closing(mask, np.ones((3, 3), dtype=bool)))[1:-1, 1:-1]
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    return labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))


def _inner_half(mask: np.ndarray) -> np.ndarray:
    """The half of the mask's pixels that lie deepest in it: blur brings least of the backdrop there."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    return mask & (depth >= np.median(depth[mask]))


def _shape(mask: np.ndarray) -> tuple[str, float]:
    """The shape whose template overlaps the normalised mask most, and that overlap."""
    templates = shape_templates()
    both = np.minimum(templates, mask.ravel()).sum(-1)
    overlaps = (both / (templates.sum(-1) + mask.sum() - both)).max(axis=1)
    best = int(overlaps.argmax())
    return (SHAPES[best] if overlaps[best] >= MIN_OVERLAP else NONE), float(overlaps[best])


def _colour_spread(lab: np.ndarray) -> float:
    """Distance between the two ends of the colours ``[pixels, 3]`` along the direction they vary most in."""
    centred = lab - lab.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    low, high = np.quantile(centred @ directions[:, -1], (0.08, 0.92))
    return float(high - low)


@cache
def _pairs() -> tuple[np.ndarray, np.ndarray, list[tuple[str, str]]]:
    """Every pair of colours: start and step of the line between them in RGB 0..1, and the names."""
    names = list(COLOURS)
    rgb = np.array(list(COLOURS.values()), dtype=np.float32) / 255
    first, second = np.triu_indices(len(names), 1)
    pairs = [(names[i], names[j]) for i, j in zip(first, second, strict=True)]
    return rgb[first], rgb[second] - rgb[first], pairs


def _fit_lines(pixels: np.ndarray, start: np.ndarray, step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Place ``pixels`` on each line from ``start`` to ``start + step``.

    Returns each pixel's place, 0..1, and its distance from the line, both ``[lines, pixels]``.
    """
    offset = pixels[None] - start[:, None]
    place = np.clip((offset * step[:, None]).sum(-1) / np.maximum((step**2).sum(-1)[:, None], 1e-6), 0, 1)
    return place, np.linalg.norm(offset - place[..., None] * step[:, None], axis=-1)


def _two_colours(rgb: np.ndarray, core: np.ndarray) -> tuple[str, str, np.ndarray, float]:
    """The two colours whose mixtures explain the object best.

    Returns their names, each pixel's share of the second, 0..1, and the mean distance that is left.
    """
    start, step, names = _pairs()
    share, error = _fit_lines(rgb[core], start, step)
    # Both ends must be there: a pair whose one end no pixel comes near explains too much.
    low, high = np.quantile(share, (0.08, 0.92), axis=1)
    reach = (low + 1 - high) * np.linalg.norm(step, axis=1)
    best = int((error.mean(axis=1) + 0.25 * reach).argmin())
    mix = np.zeros(core.shape, dtype=np.float32)
    mix[core] = share[best]
    return *names[best], mix, float(error[best].mean())


def _one_colour(rgb: np.ndarray, core: np.ndarray, backdrop: np.ndarray) -> tuple[str, float]:
    """The colour whose mixtures with the backdrop explain the object best, and the mean distance left.

    A blurred small object has no pattern, but its edges run into the backdrop.
    """
    colours = np.array(list(COLOURS.values()), dtype=np.float32) / 255
    _, error = _fit_lines(rgb[core], np.broadcast_to(backdrop, colours.shape), colours - backdrop)
    best = int(error.mean(axis=1).argmin())
    return list(COLOURS)[best], float(error[best].mean())


def _texture(mix: np.ndarray, core: np.ndarray, at: np.ndarray) -> tuple[str, float]:
    """The pattern that correlates most with ``mix`` on the object, and its correlation, -1..1."""
    weight = (ndimage.map_coordinates(core.astype(np.float32), at, order=1) > 0.5).astype(np.float32).ravel()
    filled = np.where(core, mix, mix[core].mean())
    signal = ndimage.map_coordinates(filled, at, order=1).ravel()
    total = max(float(weight.sum()), 1.0)
    signal = weight * (signal - (weight * signal).sum() / total)
    templates, textures = pattern_templates()
    products = templates @ np.stack([signal, weight], axis=1)
    deviation = np.sqrt(np.maximum(total - products[:, 1] ** 2 / total, 1e-3))
    correlation = products[:, 0] / (deviation * max(float(np.linalg.norm(signal)), 1e-6))
    best = int(np.abs(correlation).argmax())
    found = textures[best] if abs(correlation[best]) >= MIN_PATTERN else NONE
    return found, float(correlation[best])


def _position(x: float, y: float) -> str:
    vertical = "" if abs(y) < OFF_CENTRE else ("top" if y < 0 else "bottom")
    horizontal = "" if abs(x) < OFF_CENTRE else ("left" if x < 0 else "right")
    return f"{vertical} {horizontal}".strip() or "centre"
