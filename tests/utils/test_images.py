import pytest
from PIL import Image, ImageChops
from PIL.PngImagePlugin import PngInfo

from diffkit.utils.images import picture_grid, read_png_metadata, save_png, slug


def plain(colour, size=(64, 64)):
    return Image.new("RGB", size, colour)


def test_png_keeps_what_it_was_made_of(tmp_path):
    about = {"prompt": "a “red” circle\nat the left", "seed": 3, "steps": ["x/step9"]}
    path = save_png(plain("red"), tmp_path / "new/a.png", about)
    assert read_png_metadata(path) == about
    with Image.open(path) as image:
        assert not ImageChops.difference(image, plain("red")).getbbox()


def test_files_without_metadata(tmp_path):
    assert read_png_metadata(save_png(plain("red"), tmp_path / "a.png")) == {}
    assert read_png_metadata(save_png(plain("red"), tmp_path / "a.jpg", {"seed": 1})) == {}


@pytest.mark.parametrize("text", ["{", "[1]", "3", "[" * 100_000])
def test_metadata_that_is_none_of_ours(tmp_path, text):
    about = PngInfo()
    about.add_itxt("diffkit", text)
    plain("red").save(tmp_path / "a.png", pnginfo=about)
    assert read_png_metadata(tmp_path / "a.png") == {}


def test_damaged_files_say_nothing(tmp_path):
    path = save_png(plain("red"), tmp_path / "a.png", {"seed": 1, "prompt": "a" * 200})
    for length in (0, 20, 150):
        (tmp_path / "b.png").write_bytes(path.read_bytes()[:length])
        assert read_png_metadata(tmp_path / "b.png") == {}
    assert read_png_metadata(tmp_path) == {}
    with pytest.raises(FileNotFoundError):
        read_png_metadata(tmp_path / "c.png")


def test_grid_shows_every_picture_in_order():
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    grid = picture_grid([plain(colour) for colour in colours], ["one", "two words", "three"], columns=2)
    width = 192  # 64 pixels, three times
    assert grid.width == 2 * width + 18
    row = (grid.height - 6) // 2
    centres = [(6 + 90, 6 + 90), (6 + width + 6 + 90, 6 + 90), (6 + 90, 6 + row + 90)]
    assert [grid.getpixel(centre) for centre in centres] == colours
    assert grid.crop((0, 6 + width, width, 6 + row)).convert("L").getextrema()[0] < 100  # the caption


def test_grid_of_one_large_picture_without_captions():
    grid = picture_grid([plain("red", (320, 200))])
    assert grid.crop((6, 6, 326, 206)).size == (320, 200)
    assert grid.getpixel((6 + 319, 6 + 199)) == (255, 0, 0)


def test_long_captions_are_cut():
    caption = "a photo of a very large red circle at the left of a small blue square " * 5
    long, short = (picture_grid([plain("red")], [text]) for text in (caption, "one two " * 9))
    assert long.size == short.size
    picture_grid([plain("red")], ["w" * 500])


def test_mistakes():
    with pytest.raises(ValueError, match="images is empty"):
        picture_grid([])
    with pytest.raises(ValueError, match="captions: 2 for 1 images"):
        picture_grid([plain("red")], ["a", "b"])


def test_a_prompt_becomes_a_part_of_a_file_name():
    assert slug("A photo, of <x>!") == "a-photo-of-x"
    assert slug("  ") == "empty"
    assert len(slug("A photo of x " * 9)) <= 40
