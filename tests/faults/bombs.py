"""Small files that would become gigabytes of memory or hours of work."""

import io
import struct
import zlib
from collections.abc import Callable

from PIL import Image

PIXELS = "pixels, allowed are"


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
