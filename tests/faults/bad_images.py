"""Writes the images that folders of real users hold, and those that nobody should open: one case for each.

A case says what has to become of the file: refused, for a reason, or read, as a picture of known size and
corners. ``write_cases`` gives well over fifty of them.
"""

import pickle
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, features

from tests.faults import bad_files
from tests.faults.bombs import encoded, png
from tests.faults.cases import GREEN, RED, WHITE, Case, corners, noise

DAMAGED, UNKNOWN = "damaged or truncated", "not a picture of a known format"
BROKEN = f"{DAMAGED}|{UNKNOWN}"


def write_cases(folder: Path) -> list[Case]:
    """Writes every case into ``folder`` and returns them; names differ."""
    folder.mkdir(parents=True, exist_ok=True)
    makers = (_truncated, _empty, _foreign, _wrong_suffix, _colours, _deep, _palette, _animated, _exif, _flipped,
              *bad_files.MAKERS)
    cases = [case for make in makers for case in make(folder)]
    names = [case.name for case in cases]
    if len(set(names)) != len(names):
        raise ValueError("two cases have one name")
    return cases


def _truncated(folder: Path) -> Iterator[Case]:
    kinds = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "bmp": "BMP", "tif": "TIFF", "gif": "GIF"}
    for suffix, kind in kinds.items():
        data = encoded(noise(), kind)
        for share in (5, 2):
            name = f"cut_{share}.{suffix}"
            (folder / name).write_bytes(data[: len(data) * share // 6])
            yield Case("truncated", name, BROKEN)
    for suffix, size in {"jpg": 3, "png": 20, "webp": 14}.items():
        (folder / f"head.{suffix}").write_bytes(encoded(noise(), kinds[suffix])[:size])
        yield Case("truncated", f"head.{suffix}", BROKEN)
    if features.check("avif"):
        data = encoded(noise(), "AVIF")
        (folder / "cut.avif").write_bytes(data[: len(data) // 2])
        yield Case("truncated", "cut.avif", BROKEN)


def _empty(folder: Path) -> Iterator[Case]:
    for suffix in ("jpg", "png", "webp"):
        (folder / f"empty.{suffix}").touch()
        yield Case("empty", f"empty.{suffix}", r"empty \(0 bytes\)")


def _foreign(folder: Path) -> Iterator[Case]:
    contents = {
        "text.jpg": b"this is no picture", "page.png": b"<!doctype html><html>404</html>",
        "drawing.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>", "paper.jpg": b"%PDF-1.7\n%\xe2\xe3\n",
        "print.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
        "archive.png": b"PK\x03\x04" + bytes(60), "film.gif": b"\x00\x00\x00\x18ftypmp42" + bytes(60),
        "pickle.png": pickle.dumps({"a": 1}), "zeros.jpg": bytes(5000),
        "pointer.png": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n"}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        yield Case("something else inside", name, UNKNOWN)


def _wrong_suffix(folder: Path) -> Iterator[Case]:
    for name, kind in {"really_png.jpg": "PNG", "really_webp.png": "WEBP", "really_jpeg.bmp": "JPEG"}.items():
        options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
        (folder / name).write_bytes(encoded(corners(), kind, **options))
        yield Case("wrong extension", name)


def _colours(folder: Path) -> Iterator[Case]:
    cmyk = corners().convert("CMYK")
    cmyk.save(folder / "cmyk.jpg", quality=95)
    cmyk.save(folder / "cmyk.tif")
    corners().convert("YCbCr").save(folder / "ycbcr.jpg", quality=95)
    for name in ("cmyk.jpg", "cmyk.tif", "ycbcr.jpg"):
        yield Case("CMYK", name, tolerance=12)
    Image.new("LAB", (8, 8)).save(folder / "lab.tif")
    yield Case("CMYK", "lab.tif", corners=None)
    Image.new("L", (48, 32), 77).save(folder / "grey.png")
    yield Case("grey", "grey.png", corners=((77, 77, 77),) * 4)
    Image.new("1", (48, 32), 1).save(folder / "bilevel.png")
    yield Case("grey", "bilevel.png", corners=(WHITE,) * 4)


def _deep(folder: Path) -> Iterator[Case]:
    levels = np.zeros((32, 48), np.uint16)
    levels[:16, 24:], levels[16:, :24], levels[16:, 24:] = 257, 32896, 65535
    grey = tuple((level,) * 3 for level in (0, 1, 128, 255))
    Image.fromarray(levels).save(folder / "deep.png")
    Image.fromarray(levels.astype(">u2")).save(folder / "deep_big.tif")
    Image.fromarray(levels.astype(np.int32)).save(folder / "deep_32.tif")
    Image.fromarray((levels / 65535).astype(np.float32)).save(folder / "float.tif")
    for name in ("deep.png", "deep_big.tif", "deep_32.tif", "float.tif"):
        yield Case("16-bit", name, corners=grey, tolerance=1)
    wide = np.asarray(corners()).astype(">u2") * 257
    for name, colour, pixels in (("deep_rgb.png", 2, wide), ("deep_rgba.png", 6, _with_alpha(wide))):
        rows = b"".join(b"\0" + row.tobytes() for row in pixels)
        (folder / name).write_bytes(png(48, 32, zlib.compress(rows), 16, colour))
        yield Case("16-bit", name)
    Image.fromarray(np.full((32, 48), np.nan, np.float32)).save(folder / "nan.tif")
    Image.fromarray(np.full((32, 48), np.inf, np.float32)).save(folder / "inf.tif")
    for name in ("nan.tif", "inf.tif"):
        yield Case("16-bit", name, "not finite")


def _with_alpha(pixels: np.ndarray) -> np.ndarray:
    return np.concatenate([pixels, np.full_like(pixels[..., :1], 65535)], -1)


def _palette(folder: Path) -> Iterator[Case]:
    white = (RED, GREEN, WHITE, WHITE)  # blue is the transparent colour
    image = corners().quantize(4)
    blue = image.getpixel((0, 31))
    image.save(folder / "palette.png", transparency=blue)
    image.save(folder / "palette_bytes.png", transparency=bytes(0 if i == blue else 255 for i in range(4)))
    image.save(folder / "palette.gif", transparency=blue)
    for name in ("palette.png", "palette_bytes.png", "palette.gif"):
        yield Case("palette with alpha", name, corners=white)
    layer = corners().convert("RGBA")
    layer.paste((0, 0, 255, 0), (0, 16, 24, 32))
    layer.save(folder / "rgba.png")
    layer.save(folder / "rgba.webp", lossless=True)
    Image.new("LA", (48, 32), (0, 0)).save(folder / "la.png")
    yield Case("palette with alpha", "rgba.png", corners=white)
    yield Case("palette with alpha", "rgba.webp", corners=white)
    yield Case("palette with alpha", "la.png", corners=(WHITE,) * 4)


def _animated(folder: Path) -> Iterator[Case]:
    others = [Image.new("RGB", (48, 32), "black"), Image.new("RGB", (48, 32), "yellow")]
    for suffix in ("gif", "webp", "png", "tif"):
        options = {"lossless": True} if suffix == "webp" else {}
        corners().save(folder / f"animated.{suffix}", save_all=True, append_images=others, **options)
        yield Case("animated", f"animated.{suffix}")
    corners().save(folder / "stereo.jpg", "MPO", save_all=True, append_images=others, quality=95)
    yield Case("animated", "stereo.jpg", tolerance=12)


LYING = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
         5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
         8: Image.Transpose.ROTATE_270}


def _exif(folder: Path) -> Iterator[Case]:
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        lying = corners().transpose(LYING[orientation]) if orientation in LYING else corners()
        for suffix in ("jpg", "png") if orientation in (1, 6) else ("jpg",):
            name = f"exif_{orientation}.{suffix}"
            lying.save(folder / name, exif=exif, quality=95)
            yield Case(f"EXIF {orientation}", name, tolerance=12)
    corners().save(folder / "exif_bad.jpg", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff garbage", quality=95)
    exif = Image.Exif()
    exif[0x0112] = 99
    corners().save(folder / "exif_99.jpg", exif=exif, quality=95)
    for name in ("exif_bad.jpg", "exif_99.jpg"):
        yield Case("EXIF damaged", name, tolerance=12)


def _flipped(folder: Path) -> Iterator[Case]:
    data = bytearray(encoded(noise(), "PNG"))
    data[len(data) // 2] ^= 0xFF
    (folder / "flipped.png").write_bytes(data)
    yield Case("damaged inside", "flipped.png", DAMAGED)
    (folder / "no_pixels.png").write_bytes(png(0, 32, zlib.compress(b"")))
    yield Case("damaged inside", "no_pixels.png", BROKEN)
    (folder / "few_pixels.png").write_bytes(png(48, 32, zlib.compress(bytes(100))))
    yield Case("damaged inside", "few_pixels.png", DAMAGED)
    (folder / "huge_chunk.png").write_bytes(b"\x89PNG\r\n\x1a\n\x7f\xff\xff\xffIHDR" + bytes(30))
    yield Case("damaged inside", "huge_chunk.png", BROKEN)
