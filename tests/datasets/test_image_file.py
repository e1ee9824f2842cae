"""Every kind of picture comes out as the same upright RGB, or is refused with a reason."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from diffkit.datasets.image_file import BadImageError, file_digest, open_image, printable
from tests.datasets.pictures import corners, noise

# How a picture has to lie in the file so that EXIF orientation n turns it upright.
LYING = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", LYING)
def test_exif_orientations_are_all_turned_upright_once(tmp_path, orientation):
    upright = corners()
    turn = LYING[orientation]
    lying = upright if turn is None else upright.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    lying.save(tmp_path / "a.png", exif=exif)
    opened = open_image(tmp_path / "a.png")
    assert np.array_equal(opened, upright)
    assert opened.getexif().get(0x0112, 1) == 1


@pytest.mark.filterwarnings("ignore:.*EXIF", "ignore:Corrupt")
def test_damaged_exif_does_not_cost_the_picture(tmp_path):
    noise().save(tmp_path / "a.jpg", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff garbage", quality=95)
    assert open_image(tmp_path / "a.jpg").size == (16, 12)


def test_transparency_is_put_on_white(tmp_path):
    layer = Image.new("RGBA", (4, 2), (0, 0, 0, 0))
    layer.putpixel((0, 0), (255, 0, 0, 255))
    layer.save(tmp_path / "rgba.png")
    layer.convert("LA").save(tmp_path / "la.png")
    palette = Image.new("P", (4, 2), 1)
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.putpixel((0, 0), 0)
    palette.save(tmp_path / "p.png", transparency=1)
    for name in ("rgba.png", "la.png", "p.png"):
        opened = open_image(tmp_path / name)
        assert opened.mode == "RGB" and opened.getpixel((3, 1)) == (255, 255, 255), name
    assert open_image(tmp_path / "p.png").getpixel((0, 0)) == (255, 0, 0)
    assert open_image(tmp_path / "rgba.png").getpixel((0, 0)) == (255, 0, 0)


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path):
    levels = np.array([[0, 257, 32896, 65535]], np.uint16)
    Image.fromarray(levels).save(tmp_path / "a.png")
    Image.fromarray(levels.astype(np.int32)).save(tmp_path / "a.tif")
    for name in ("a.png", "a.tif"):
        assert np.asarray(open_image(tmp_path / name))[0, :, 0].tolist() == [0, 1, 128, 255], name


def test_big_endian_and_float_levels(tmp_path):
    big = Image.fromarray(np.array([[0, 65535]], ">u2"))
    assert big.mode == "I;16B"
    big.save(tmp_path / "big.tif")
    Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32)).save(tmp_path / "share.tif")
    Image.fromarray(np.array([[0.0, np.nan]], np.float32)).save(tmp_path / "nan.tif")
    assert np.asarray(open_image(tmp_path / "big.tif"))[0, :, 1].tolist() == [0, 255]
    assert np.asarray(open_image(tmp_path / "share.tif"))[0, :, 2].tolist() == [0, 128, 255]
    with pytest.raises(BadImageError, match="not finite"):
        open_image(tmp_path / "nan.tif")


def test_cmyk_grey_and_bilevel_become_rgb(tmp_path):
    Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(tmp_path / "c.jpg", quality=100)
    Image.new("L", (4, 4), 77).save(tmp_path / "l.png")
    Image.new("1", (4, 4), 1).save(tmp_path / "1.png")
    red = open_image(tmp_path / "c.jpg").getpixel((1, 1))
    assert red[0] > 250 and red[1] < 5 and red[2] < 5
    assert open_image(tmp_path / "l.png").getpixel((0, 0)) == (77, 77, 77)
    assert open_image(tmp_path / "1.png").getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_of_an_animation_the_first_frame_is_taken(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], duration=50, **options)
    assert open_image(tmp_path / f"a.{suffix}").getpixel((4, 4)) == (255, 0, 0)


def test_the_content_decides_and_not_the_suffix(tmp_path):
    corners().save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert np.array_equal(open_image(tmp_path / "a.jpg"), corners())


def test_empty_truncated_and_foreign_files_are_refused(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("this is no picture")
    noise(width=64, height=64).save(tmp_path / "whole.jpg")
    noise(width=64, height=64).save(tmp_path / "whole.png")
    for suffix in ("jpg", "png"):
        data = (tmp_path / f"whole.{suffix}").read_bytes()
        (tmp_path / f"cut.{suffix}").write_bytes(data[: len(data) * 2 // 3])
    for name, message in [
        ("empty.jpg", "0 bytes"),
        ("text.jpg", "not a picture of a known format"),
        ("cut.jpg", "damaged or truncated"),
        ("cut.png", "damaged or truncated"),
    ]:
        with pytest.raises(BadImageError, match=message):
            open_image(tmp_path / name)


def test_postscript_is_never_handed_to_an_interpreter(tmp_path):
    (tmp_path / "a.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    )
    with pytest.raises(BadImageError, match="not a picture of a known format"):
        open_image(tmp_path / "a.png")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [12_000, 20_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path, side):
    (tmp_path / "bomb.png").write_bytes(_claimed_png(side))
    with pytest.raises(BadImageError, match="pixels"):
        open_image(tmp_path / "bomb.png")


def test_the_limit_can_be_set(tmp_path):
    noise().save(tmp_path / "a.png")
    with pytest.raises(BadImageError, match="16x12 are 192 pixels, allowed are 100"):
        open_image(tmp_path / "a.png", max_pixels=100)


def test_the_digest_is_sha256_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_names_that_are_no_utf8_can_be_printed():
    assert printable(b"a\xff.jpg".decode("utf-8", "surrogateescape")) == "a\\xff.jpg"


def _claimed_png(side: int) -> bytes:
    """A PNG whose header claims ``side`` x ``side`` pixels and which holds none of them."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )
