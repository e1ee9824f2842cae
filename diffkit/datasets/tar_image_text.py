"""Captioned pictures in tar shards, as img2dataset and webdataset write them."""

import hashlib
import io
import json
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from mmengine.logging import print_log
from torch.utils.data import Dataset

from diffkit.datasets.captions import MAX_CAPTION_BYTES
from diffkit.datasets.draw import Draw, as_draw
from diffkit.datasets.image_file import BadImageError, decode_image, printable, read_size
from diffkit.datasets.picture_reader import Room, transformed
from diffkit.datasets.picture_set import Entry, PictureSet
from diffkit.datasets.prompt_source import PromptSource
from diffkit.datasets.tar_index import TarSample, index_shard, read_member
from diffkit.datasets.transforms import Compose, Picture, Transform, build_transforms
from diffkit.datasets.verified import VerifiedFiles, verified_files
from diffkit.datasets.verify import bad_report, check_policy, verify_each
from diffkit.registry import DATASETS
from diffkit.utils.shard_patterns import find_shards

Captions = Literal["auto", "txt", "json"]
CheckTime = Literal["start", "drawn"]
_PIXELS, _WORDS = range(2)


@DATASETS.register_module()
class TarImageText(Dataset):
    """Tar shards with a picture and a caption for each name: ``000017.jpg`` beside ``000017.txt`` or ``000017.json``.

    The shards are not unpacked: their headers are read once, and each draw reads the bytes of its own sample. Ranks and
    workers split the draws as with every data set (``DrawSampler``); ``ShardSampler`` keeps the draws of a while within
    a few shards. Compressed shards are refused, for no place in them can be read by itself.

    Args:
        data_root: a tar file, a folder of them, a pattern such as ``data/{00000..00019}.tar`` or ``data/*.tar``, or a
            list of these.
        resolution: side of the pictures that the model sees, in pixels.
        center_crop: cut out the middle; False cuts at random, and then latents are not cached.
        hflip: probability of mirroring a picture, 0 to 1.
        caption_dropout: probability of an empty prompt, 0 to 1.
        captions: where captions come from: ``"txt"``, ``"json"`` or ``"auto"`` (the .txt, or else the .json).
        caption_column: the json's key of the caption, a text or a list of texts to choose from.
        transforms: instead of the usual resize, flip and crop; then ``center_crop`` and ``hflip`` do nothing.
        bad_images: ``"stop"`` raises on samples that cannot be used and on damaged shards, ``"skip"`` leaves them out;
            both list them.
        check_images: ``"start"`` decodes every picture before the training, unless an earlier start did; ``"drawn"``
            looks at each when it is drawn, for data too large for the other: a bad one then ends the training, or the
            next sample takes its place.
        seed: of everything random here.
    """

    metainfo: dict[str, Any] = {}

    def __init__(
        self,
        data_root: str | Path | Sequence[str | Path],
        resolution: int = 512,
        center_crop: bool = True,
        hflip: float = 0.5,
        caption_dropout: float = 0.0,
        captions: Captions = "auto",
        caption_column: str = "caption",
        transforms: Compose | Sequence[Transform | dict[str, Any]] | None = None,
        bad_images: str = "stop",
        check_images: CheckTime = "start",
        seed: int = 0,
    ) -> None:
        if captions not in get_args(Captions):
            raise ValueError(f"captions must be one of {', '.join(get_args(Captions))}, got {captions!r}")
        if check_images not in get_args(CheckTime):
            raise ValueError(f"check_images must be one of {', '.join(get_args(CheckTime))}, got {check_images!r}")
        self.seed, self.caption_column = seed, caption_column
        self.bad_images = check_policy(bad_images)
        self._caption_files = {"auto": (".txt", ".json"), "txt": (".txt",), "json": (".json",)}[captions]
        self.transforms = build_transforms(transforms, resolution=resolution, center_crop=center_crop, hflip=hflip)
        self.prompts = PromptSource(None, caption_dropout, argument=None)
        self._what = f"data_root={printable(str(data_root))!r}"
        self.shards = find_shards(data_root)
        found = self._index()
        self._digests: dict[str, str] = {}
        self._samples = self._verified(found) if check_images == "start" else found
        bad = len(found) - len(self._samples)
        self._describe = (f"{len(self.shards)} shards of {printable(self.shards[0].parent)}: {len(self._samples)} "
                          "samples" + (f", {bad} cannot be used" if bad else "")
                          + ("; looked at when they are drawn" if check_images == "drawn" else ""))

    def _index(self) -> list[TarSample]:
        samples, faults, names = [], {}, Counter(path.name for path in self.shards)
        for number, path in enumerate(self.shards):
            label = path.name if names[path.name] == 1 else str(path)
            try:
                found, fault = index_shard(path, number)
            except ValueError as error:
                found, fault = [], str(error)
            if fault:
                faults[label] = fault
            for sample in found:
                sample.name = label + sample.name.removeprefix(path.name)
            samples += found
        if faults:
            report = bad_report(faults, len(self.shards), "shards")
            if self.bad_images == "stop" or not samples:
                raise ValueError(f"{self._what}: {report}\nfetch or pack them again"
                                 + (", or set bad_images='skip' to take what can be read" if samples else ""))
            print_log(f"{self._what}: {report}", logger="current", level=logging.WARNING)
        if not samples:
            raise ValueError(f"{self._what}: the {len(self.shards)} shards hold no files")
        return samples

    def _verified(self, found: list[TarSample]) -> list[TarSample]:
        """The samples that can be used; all pictures are decoded that no earlier start has seen."""
        by_name = {sample.name: sample for sample in found}
        verified = verified_files("tar:" + "|".join(str(path.resolve()) for path in self.shards), self.transforms)
        room = Room()
        try:
            good, bad = verify_each(
                list(by_name), lambda name: self._verify(by_name[name], verified, room), bad_images=self.bad_images,
                what=self._what, noun="samples")
        finally:
            verified.save()
        if bad:
            report = bad_report(bad, len(found), "samples")
            print_log(f"{self._what}: {report}", logger="current", level=logging.WARNING)
        self._digests = good
        return [by_name[name] for name in good]

    def _verify(self, sample: TarSample, verified: VerifiedFiles, room: Room) -> str:
        self._captions(sample)
        content = self._content(sample)
        digest = hashlib.sha256(content).hexdigest()
        file = io.BytesIO(content)
        width, height = read_size(file)
        if verified.knows(digest):
            verified.add(digest, verified.size(digest))
        else:
            with room.taken(width * height):
                picture = Picture.of(decode_image(file))
                transformed(picture, self.transforms)
            verified.add(digest, picture.original_size)
        return digest

    def _content(self, sample: TarSample) -> bytes:
        return read_member(self.shards[sample.shard], sample.image())

    def _captions(self, sample: TarSample) -> list[str]:
        for suffix in self._caption_files:
            if (member := sample.files.get(suffix)) is not None:
                if member.size > MAX_CAPTION_BYTES:
                    raise BadImageError(f"its {suffix} has {member.size} bytes: that is no caption")
                raw = read_member(self.shards[sample.shard], member) if member.size else b""
                texts = _texts(raw, suffix, self.caption_column)
                if texts:
                    return texts
        raise BadImageError(f"it has no caption ({' or '.join(self._caption_files)})")

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, item: int | Draw) -> dict[str, Any]:
        index, seed = as_draw(item)
        for place in range(len(self)):
            sample = self._samples[(index + place) % len(self)]
            try:
                return self._draw(sample, seed)
            except (BadImageError, OSError) as error:
                if self._digests:
                    raise ValueError(f"{sample.name} of {self._what} changed while it was in use ({error}): "
                                     "start again") from error
                if self.bad_images == "stop":
                    raise ValueError(f"{self._what}: {printable(sample.name)} cannot be used: {error}\n"
                                     "mend or remove it, or set bad_images='skip'") from error
                print_log(f"{printable(sample.name)} is left out: {error}", logger="current", level=logging.WARNING)
        raise ValueError(f"{self._what}: no sample can be used")

    def _draw(self, sample: TarSample, seed: int) -> dict[str, Any]:
        captions, content = self._captions(sample), self._content(sample)
        digest = hashlib.sha256(content).hexdigest()
        if digest != self._digests.get(sample.name, digest):
            raise BadImageError("its bytes are others")
        file = io.BytesIO(content)
        read_size(file)
        picture = Picture.of(decode_image(file))
        if not self._digests:  # of others it is known that they stand the transforms
            transformed(picture, self.transforms)
        pictures = PictureSet([Entry(sample.name, digest, captions)], self.transforms, "")
        values = pictures.shown(0, picture, np.random.default_rng([self.seed, seed, _PIXELS]))
        rng = np.random.default_rng([self.seed, seed, _WORDS])
        return {**values, "prompt": self.prompts.choose(captions, rng), "is_prior": False}

    def shard_sizes(self) -> list[int]:
        """How many samples of each shard are used, in their order, for ``ShardSampler``."""
        counts = Counter(sample.shard for sample in self._samples)
        return [counts[number] for number in range(len(self.shards))]

    def summary(self) -> str:
        """What was found, for the table before a training."""
        return self._describe

    def name_at(self, index: int) -> str:
        """Shard and name of an item, to name it in a message."""
        return self._samples[index % len(self)].name

    def name_of(self, key: str) -> str | None:
        """The sample that a ``key`` stands for, to name it in a message; None where they are not known beforehand."""
        return next((name for name, digest in self._digests.items() if key.startswith(digest)), None)


def _texts(raw: bytes, suffix: str, column: str) -> list[str]:
    """The captions in a .txt or .json file; BadImageError says why it cannot be understood."""
    try:
        text = raw.decode("utf-8-sig")
        value = json.loads(text) if suffix == ".json" else text
    except (ValueError, RecursionError) as error:
        raise BadImageError(f"its {suffix} cannot be read ({error})") from error
    if suffix == ".json":
        if not isinstance(value, dict) or column not in value:
            raise BadImageError(f"its .json has no key {column!r}")
        value = value[column]
    texts = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(each, str) for each in texts):
        raise BadImageError(f"its caption is {str(value)[:40]!r}, no text")
    return [" ".join(each.split()) for each in texts if each.strip()]
