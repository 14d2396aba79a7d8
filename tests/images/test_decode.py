"""Every odd kind of image file comes out as the picture that a person sees, or as one line that says why not."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from filterscope.errors import BadImages
from filterscope.images.decode import MAX_PIXELS, decode, rgb_pixels

# EXIF 2.32, tag 0x0112: on which side of the upright picture the stored first row lies, and the stored first column.
SIDES = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def encode(image, kind="PNG", **options):
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(height=5, width=7, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def upright(stored, orientation):
    """Place each stored pixel where the EXIF standard says, one by one."""
    sides = SIDES[orientation]
    turned = sides[0] in ("left", "right")
    height, width = stored.shape[:2][::-1] if turned else stored.shape[:2]
    picture = np.zeros((height, width, 3), np.uint8)
    for row in range(stored.shape[0]):
        for column in range(stored.shape[1]):
            place = {}
            for side, step in zip(sides, (row, column), strict=True):
                axis, length = ("y", height) if side in ("top", "bottom") else ("x", width)
                place[axis] = step if side in ("top", "left") else length - 1 - step
            picture[place["y"], place["x"]] = stored[row, column]
    return picture


@pytest.mark.parametrize("orientation", SIDES)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_every_exif_orientation_comes_out_upright(orientation, kind):
    stored = noise()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    lossless = {"lossless": True} if kind == "WEBP" else {}
    data = encode(Image.fromarray(stored), kind, exif=exif, **lossless)
    assert np.array_equal(decode(data), upright(stored, orientation))


@pytest.mark.parametrize("orientation", SIDES)
def test_photos_of_a_turned_camera_come_out_upright(orientation):
    stored = np.kron(noise(2, 3), np.ones((16, 16, 1), np.uint8))  # JPEG keeps flat blocks nearly as they are
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    found = decode(encode(Image.fromarray(stored), "JPEG", exif=exif, quality=100, subsampling=0))
    assert np.abs(found.astype(int) - upright(stored, orientation)).max() <= 4


@pytest.mark.parametrize("exif", [b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0nonsense"])
def test_a_picture_with_broken_exif_is_still_a_picture(exif):
    stored = np.full((16, 16, 3), 90, np.uint8)
    assert np.abs(decode(encode(Image.fromarray(stored), "JPEG", exif=exif)).astype(int) - 90).max() <= 2
    text = PngInfo()
    text.add_text("Raw profile type exif", "a\nb\nc\nno hexadecimal digits")
    assert (decode(encode(Image.fromarray(stored), pnginfo=text)) == 90).all()


INKS = {
    (255, 0, 0, 0): (0, 255, 255),
    (0, 255, 0, 0): (255, 0, 255),
    (0, 0, 255, 0): (255, 255, 0),
    (0, 0, 0, 255): (0, 0, 0),
}


@pytest.mark.parametrize("ink", INKS)
@pytest.mark.parametrize("kind", ["TIFF", "JPEG", "JPEG without a word from Adobe"])
def test_inks_take_their_colour_from_white_paper(ink, kind):
    if kind == "JPEG without a word from Adobe":
        # Pillow writes inverted inks, as Adobe does, and a marker that says so; without the marker they are plain.
        plain = encode(Image.new("CMYK", (16, 16), tuple(255 - value for value in ink)), "JPEG", quality=100)
        marker = plain.index(b"\xff\xee")
        data = plain[:marker] + plain[marker + 2 + int.from_bytes(plain[marker + 2 : marker + 4], "big") :]
        assert b"Adobe" in plain
        assert b"Adobe" not in data
    else:
        data = encode(Image.new("CMYK", (16, 16), ink), kind)
    assert np.abs(decode(data).astype(int) - INKS[ink]).max() <= 3


def test_grey_and_one_bit_pictures_become_grey_rgb():
    grey = noise(channels=1)[..., 0]
    assert np.array_equal(decode(encode(Image.fromarray(grey))), np.stack([grey] * 3, -1))
    bits = Image.fromarray(grey > 128)
    assert bits.mode == "1"
    assert np.array_equal(decode(encode(bits)), np.stack([(grey > 128) * np.uint8(255)] * 3, -1))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_not_clipped(kind):
    values = np.array([[0, 128, 129, 256, 257], [1000, 32768, 65000, 65406, 65535]], np.uint16)
    found = decode(encode(Image.fromarray(values), kind))
    assert np.array_equal(found, np.stack([np.rint(values / 257).astype(np.uint8)] * 3, -1))
    assert found[0].max() == 1
    assert found[1, -1, 0] == 255


def test_sixteen_bits_with_zero_as_white_are_inverted():
    values = np.array([[0, 257 * 100, 65535]], np.uint16)
    data = encode(Image.fromarray(values), "TIFF")
    entry = struct.pack("<HHIH", 262, 3, 1, 1)  # PhotometricInterpretation: zero is black
    assert data.count(entry) == 1
    found = decode(data.replace(entry, struct.pack("<HHIH", 262, 3, 1, 0)))
    assert found[0, :, 0].tolist() == [255, 155, 0]


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_lies_over_white(mode):
    values = noise(channels=len(mode))
    alpha = values[..., -1:] / 255
    expected = values[..., :-1] * alpha + 255 * (1 - alpha)
    found = decode(encode(Image.fromarray(values, mode) if mode == "LA" else Image.fromarray(values)))
    assert np.abs(found - expected).max() <= 1


def test_palettes_come_out_in_their_colours_and_their_holes_white():
    image = Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 200, 100, 0, 7, 7, 7])
    image.putdata([0, 1, 2])
    assert decode(encode(image)).tolist() == [[[10, 20, 30], [200, 100, 0], [7, 7, 7]]]
    holes = encode(image, transparency=bytes([255, 0, 255]))
    assert decode(holes).tolist() == [[[10, 20, 30], [255, 255, 255], [7, 7, 7]]]
    assert decode(encode(image, "GIF", transparency=2)).tolist() == [[[10, 20, 30], [200, 100, 0], [255, 255, 255]]]


def test_a_colour_that_stands_for_transparent_is_white():
    picture = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    assert decode(encode(picture, transparency=(4, 5, 6))).tolist() == [[[1, 2, 3], [255, 255, 255]]]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_counts(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    data = encode(
        frames[0], kind, save_all=True, append_images=frames[1:], **({"lossless": True} if kind == "WEBP" else {})
    )
    assert (decode(data) == [255, 0, 0]).all()


def test_lossless_webp_bmp_and_jpeg2000_come_out_as_they_were():
    values = noise(16, 16)
    for kind, options in (("WEBP", {"lossless": True}), ("BMP", {}), ("JPEG2000", {"irreversible": False})):
        assert np.array_equal(decode(encode(Image.fromarray(values), kind, **options)), values), kind


def png_that_declares(width, height):
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(9))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(100_000, 100_000), (MAX_PIXELS + 1, 1), (12_000, 12_000)])
def test_a_small_file_that_declares_huge_pixels_is_refused_unopened(size):
    with pytest.raises(BadImages, match="declares more than 134,217,728 pixels"):
        decode(png_that_declares(*size))


def test_pillows_own_limit_neither_warns_nor_changes(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    values = noise(12, 12)  # above the limit at which Pillow warns, below that at which it refuses
    assert np.array_equal(decode(encode(Image.fromarray(values))), values)
    assert Image.MAX_IMAGE_PIXELS == 100
    with pytest.raises(BadImages, match="declares more"):
        decode(encode(Image.fromarray(noise(15, 15))))


def whole(kind):
    picture = Image.fromarray(noise(40, 50))
    ImageDraw.Draw(picture).ellipse((5, 5, 30, 30), "red")
    return encode(picture, kind)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000"])
def test_a_file_cut_off_halfway_is_refused(kind):
    data = whole(kind)
    with pytest.raises(BadImages, match=r"\A[^\n]+\Z"):
        decode(data[: len(data) // 2])


@pytest.mark.parametrize("data", [b"", b"just a text\n" * 20, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
def test_what_is_no_image_is_refused(data):
    with pytest.raises(BadImages, match=r"^no image of a known kind \(JPEG, PNG, .*\)$"):
        decode(data)


@pytest.mark.parametrize(("dtype", "why"), [(np.float32, "floating-point"), (np.int32, "32-bit integers")])
def test_pixels_of_unknown_range_are_refused(dtype, why):
    with pytest.raises(BadImages, match=why):
        decode(encode(Image.fromarray(np.full((2, 2), 70_000, dtype)), "TIFF"))


def test_damaged_files_give_pixels_or_one_line_and_nothing_else():
    random = np.random.default_rng(1)
    outcomes, reasons = set(), set()
    for kind in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
        data = bytearray(whole(kind))
        for _ in range(40):
            damaged = data.copy()
            for place in random.integers(0, min(len(data), 400), 3):
                damaged[place] = random.integers(0, 256)
            try:
                outcomes.add(decode(bytes(damaged)).dtype)
            except BadImages as problem:
                outcomes.add("refused")
                reasons.add(str(problem))
    assert not any("\n" in reason for reason in reasons)
    assert outcomes == {np.dtype(np.uint8), "refused"}


def test_a_path_is_named_in_the_error_and_bytes_are_not(tmp_path):
    path = tmp_path / "Größe_猫.jpg"
    path.write_bytes(whole("JPEG"))
    assert decode(path).shape == (40, 50, 3)
    path.write_text("no picture")
    with pytest.raises(BadImages, match=r"cannot read the image '.*Größe_猫.jpg': no image of a known kind"):
        decode(path)
    with pytest.raises(BadImages, match=r"cannot read the image '.*none.png': No such file"):
        decode(str(tmp_path / "none.png"))


def test_neutral_lab_is_grey():
    assert np.abs(decode(encode(Image.new("LAB", (1, 1), (255, 128, 128)), "TIFF")).astype(int) - 255).max() <= 1


def test_pillow_images_of_every_mode_become_rgb():
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I;16", "RGBX"):
        assert rgb_pixels(Image.new(mode, (3, 2))).shape == (2, 3, 3), mode
