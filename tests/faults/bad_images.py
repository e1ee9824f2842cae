"""Writes the images that folders of real users hold, and those that nobody should open: one case for each.

A case says what has to become of the file: refused, for a reason, or read, as a picture of known size and
corners. ``write_cases`` gives well over fifty of them.
"""

import io
import os
import pickle
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, features

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
CORNERS = (RED, GREEN, BLUE, WHITE)
DAMAGED, UNKNOWN, PIXELS = "damaged or truncated", "not a picture of a known format", "pixels, allowed are"


@dataclass(frozen=True)
class Case:
    """A file and what has to become of it.

    Attributes:
        kind: what is odd about it.
        name: its name in the folder.
        reason: part of the reason for which it is refused; None where it is read.
        corners: colours of the four corners, in reading order, of a picture that is read; None leaves them open.
        tolerance: how far a channel may be off.
    """

    kind: str
    name: str
    reason: str | None = None
    corners: tuple[tuple[int, int, int], ...] | None = CORNERS
    tolerance: int = 8


def write_cases(folder: Path) -> list[Case]:
    """Writes every case into ``folder`` and returns them; names differ."""
    folder.mkdir(parents=True, exist_ok=True)
    makers = (_truncated, _empty, _foreign, _wrong_suffix, _colours, _deep, _palette, _animated, _exif, _flipped,
              _links, _names, _shapes, _no_files, _bombs)
    cases = [case for make in makers for case in make(folder)]
    names = [case.name for case in cases]
    if len(set(names)) != len(names):
        raise ValueError("two cases have one name")
    return cases


def corners(width: int = 48, height: int = 32) -> Image.Image:
    """Red, green, blue and white quarters, in reading order."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2], pixels[: height // 2, width // 2 :] = RED, GREEN
    pixels[height // 2 :, : width // 2], pixels[height // 2 :, width // 2 :] = BLUE, WHITE
    return Image.fromarray(pixels)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """The bytes of a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(width: int, height: int, pixels: bytes, depth: int = 8, colour: int = 2, extra: bytes = b"") -> bytes:
    """A PNG whose header says what it is told, around compressed ``pixels``."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG with its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def zeros(count: int) -> bytes:
    """``count`` zero bytes, compressed two hundredfold."""
    packer, block = zlib.compressobj(1), bytes(1 << 20)
    packed = b"".join(packer.compress(block) for _ in range(count >> 20))
    return packed + packer.compress(bytes(count & (1 << 20) - 1)) + packer.flush()


def noise(width: int = 64, height: int = 64, seed: int = 0) -> Image.Image:
    """Random pixels: no format makes a small file of them."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def _truncated(folder: Path) -> Iterator[Case]:
    kinds = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "bmp": "BMP", "tif": "TIFF", "gif": "GIF"}
    for suffix, kind in kinds.items():
        data = encoded(noise(), kind)
        for share in (5, 2):
            name = f"cut_{share}.{suffix}"
            (folder / name).write_bytes(data[: len(data) * share // 6])
            yield Case("truncated", name, "")
    for suffix, size in {"jpg": 3, "png": 20, "webp": 14}.items():
        (folder / f"head.{suffix}").write_bytes(encoded(noise(), kinds[suffix])[:size])
        yield Case("truncated", f"head.{suffix}", "")
    if features.check("avif"):
        data = encoded(noise(), "AVIF")
        (folder / "cut.avif").write_bytes(data[: len(data) // 2])
        yield Case("truncated", "cut.avif", "")


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
    yield Case("damaged inside", "no_pixels.png", "")
    (folder / "few_pixels.png").write_bytes(png(48, 32, zlib.compress(bytes(100))))
    yield Case("damaged inside", "few_pixels.png", DAMAGED)
    (folder / "huge_chunk.png").write_bytes(b"\x89PNG\r\n\x1a\n\x7f\xff\xff\xffIHDR" + bytes(30))
    yield Case("damaged inside", "huge_chunk.png", "")


def _links(folder: Path) -> Iterator[Case]:
    outside = folder.parent / "outside"
    outside.mkdir(exist_ok=True)
    corners().save(outside / "secret.png")
    corners().save(folder / "plain.png")
    (folder / "out.png").symlink_to(outside / "secret.png")
    (folder / "up.png").symlink_to("../outside/secret.png")
    (folder / "chain.png").symlink_to("out.png")
    (folder / "inside.png").symlink_to("plain.png")
    (folder / "dead.png").symlink_to("nothing.png")
    (folder / "round.png").symlink_to("round.png")
    for name in ("out.png", "up.png", "chain.png"):
        yield Case("link", name, "leaves the folder")
    for name in ("dead.png", "round.png"):
        yield Case("link", name, "cannot be read")
    yield Case("link", "inside.png")
    yield Case("link", "plain.png")


ODD_NAMES = ("a b  c'\".png", "ünï 照片 🐕.png", "two\nlines.png", "-rf.png", "--help.png", "x" * 251 + ".png",
             "a.b.tar.gz.png", "UPPER.PNG", "mIxEd.JpG", "%00$(touch x);&|.png", "esc\x1b[2J.png", "\u202egnp.png",
             b"x\xff\xfe.png".decode("utf-8", "surrogateescape"), "a\\b.png", " .png")


def _names(folder: Path) -> Iterator[Case]:
    for name in ODD_NAMES:
        (folder / name).write_bytes(encoded(corners(), "PNG"))
        yield Case("odd name", name)
    (folder / "bad\nname.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    yield Case("odd name", "bad\nname.png", "")


def _shapes(folder: Path) -> Iterator[Case]:
    Image.new("RGB", (1, 1), "red").save(folder / "dot.png")
    yield Case("odd shape", "dot.png", corners=(RED,) * 4)
    Image.new("RGB", (1, 60_000), "red").save(folder / "narrow.png")
    yield Case("odd shape", "narrow.png", "too narrow")


def _no_files(folder: Path) -> Iterator[Case]:
    os.mkfifo(folder / "pipe.png")
    yield Case("no file", "pipe.png", "not a file")


def _bombs(folder: Path) -> Iterator[Case]:
    for name, (content, reason) in bombs().items():
        (folder / name).write_bytes(content)
        yield Case("bomb", name, reason)
    with open(folder / "bomb_sparse.png", "wb") as file:  # a terabyte that takes no room on the disk
        file.write(encoded(corners(), "PNG"))
        file.truncate(1 << 40)
    yield Case("bomb", "bomb_sparse.png", "bytes, allowed are")


def bombs() -> dict[str, tuple[bytes, str]]:
    """Small files that would become gigabytes or hours, with the reasons for which they are refused."""
    text = zeros(64 << 20)
    dot = zlib.compress(bytes(4))
    unpacks = "unpacks to far more"
    return {
        "bomb_400_mpx.png": (png(20_000, 20_000, zeros(20_000 * 2501), 1, 0), PIXELS),
        "bomb_claimed.png": (png(100_000, 100_000, zlib.compress(b"")), PIXELS),
        "bomb_144_mpx.png": (png(12_000, 12_000, zlib.compress(b"")), PIXELS),
        "bomb_text.png": (png(1, 1, dot, extra=chunk(b"zTXt", b"Comment\0\0" + text)), unpacks),
        "bomb_itext.png": (png(1, 1, dot, extra=chunk(b"iTXt", b"Comment\0\1\0\0\0" + text)), unpacks),
        "bomb_profile.png": (png(1, 1, dot, extra=chunk(b"iCCP", b"icc\0\0" + text)), unpacks),
        "bomb.jpg": (_patched("JPEG", _jpeg_size), PIXELS),
        "bomb_scans.jpg": (_many_scans(), "scans of"),
        "bomb.bmp": (_patched("BMP", lambda data: _put(data, 18, struct.pack("<ii", 50_000, 50_000))), PIXELS),
        "bomb.tif": (_patched("TIFF", _tiff_size), PIXELS),
        "bomb_screen.gif": (_patched("GIF", lambda data: _put(data, 6, b"\xff\xff\xff\xff")), PIXELS),
        "bomb_frame.gif": (_patched("GIF", lambda data: _put(data, data.find(b"\x2c\0\0") + 5, b"\xff" * 4)), PIXELS),
        "bomb.webp": (_WEBP_16383, PIXELS),
    }


#: A lossless WebP of 16,383 x 16,383 black pixels.
_WEBP_16383 = bytes.fromhex("524946461a000000574542505650384c0e0000002ffebfff0f071011fd0f4444ff03")


def _patched(kind: str, patch: Callable[[bytearray], None]) -> bytes:
    data = bytearray(encoded(Image.new("P" if kind == "GIF" else "RGB", (8, 8)), kind))
    patch(data)
    return bytes(data)


def _put(data: bytearray, place: int, content: bytes) -> None:
    data[place : place + len(content)] = content


def _jpeg_size(data: bytearray) -> None:
    _put(data, data.find(b"\xff\xc0") + 5, struct.pack(">HH", 65_500, 65_500))


def _tiff_size(data: bytearray) -> None:
    start = struct.unpack("<I", data[4:8])[0]
    for number in range(struct.unpack("<H", data[start : start + 2])[0]):
        place = start + 2 + 12 * number
        if struct.unpack("<H", data[place : place + 2])[0] in (256, 257):  # width and height
            _put(data, place + 2, struct.pack("<HII", 4, 1, 100_000))


def _many_scans() -> bytes:
    """A JPEG that goes over its pixels 20,000 times."""
    data = encoded(Image.new("L", (1024, 1024)), "JPEG", progressive=True)
    last, end = data.rfind(b"\xff\xda"), data.rfind(b"\xff\xd9")
    return data[:end] + data[last:end] * 20_000 + data[end:]
