"""From an image file, whatever its kind, to 8-bit RGB pixels the right way up."""

import struct
import warnings
from io import BufferedReader, BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageChops, TiffImagePlugin, UnidentifiedImageError

from filterscope.errors import BadImages

# Only these decoders are let near a file: others can start programs (EPS runs Ghostscript).
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000")

# The photo of a 100-megapixel camera passes (11,656 x 8,742); as RGB it is 0.4 GB, and decoding takes about three times
# that in every worker. A file of a few kB can declare billions of pixels.
MAX_PIXELS = 128 * 2**20

# What undoes each EXIF orientation; 1 is upright.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(given: str | Path | bytes) -> UInt8[np.ndarray, "height width 3"]:
    """Decode one image file, or the bytes of one: the first frame, upright, transparency laid over white.

    16-bit grey is divided by 257, so that 65535 becomes 255. Colour profiles are not applied.

    Raises:
        BadImages: if it cannot be read, is cut off, is of no known kind, or declares more than ``MAX_PIXELS`` pixels.
            The message is one line; it names the file where a path was given.
    """
    if isinstance(given, bytes):
        return read_pixels(BytesIO(given))
    try:
        with Path(given).open("rb") as file:
            return read_pixels(file)
    except OSError as error:
        raise BadImages(f"cannot read the image {str(given)!r}: {error.strerror}") from error
    except BadImages as error:
        raise BadImages(f"cannot read the image {str(given)!r}: {error}") from error


def read_pixels(file: BufferedReader | BytesIO) -> UInt8[np.ndarray, "height width 3"]:
    """Decode an open file as `decode` does; the message of its BadImages is the bare reason."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of big images, odd EXIF and the like: what matters here is refused below instead.
            warnings.simplefilter("ignore")
            image = Image.open(file, formats=FORMATS)
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels")
            # TIFF turns itself upright while it loads, and PNG may keep its EXIF behind the pixels: load comes first.
            image.load()
            return rgb_pixels(_upright(image))
    except BadImages:
        raise
    except UnidentifiedImageError as error:
        raise BadImages(f"no image of a known kind ({', '.join(FORMATS)})") from error
    except Image.DecompressionBombError as error:
        raise BadImages(f"declares more than {MAX_PIXELS:,} pixels; make it smaller: {_one_line(error)}") from error
    except Exception as error:  # on damaged bytes a decoder may raise anything at all
        raise BadImages(f"damaged or cut off: {_one_line(error)}") from error


def rgb_pixels(image: Image.Image) -> UInt8[np.ndarray, "height width 3"]:
    """Turn a loaded Pillow image of any mode into RGB, transparency laid over white.

    Raises:
        BadImages: if its numbers have no known range (32-bit integers, floating point).
    """
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _from_sixteen_bits(image)
    if image.mode == "F":
        raise BadImages("its pixels are floating-point numbers of unknown range; save it with 8 or 16 bits")
    if image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        # Pillow takes every CMYK JPEG for one of Adobe's, which hold inverted inks; only those say that they are.
        image = ImageChops.invert(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _from_sixteen_bits(image: Image.Image) -> UInt8[np.ndarray, "height width 3"]:
    values = np.asarray(image).astype(np.int32)
    if values.min() < 0 or values.max() > 65535:
        raise BadImages("its pixels are 32-bit integers of unknown range; save it with 8 or 16 bits")
    if (
        isinstance(image, TiffImagePlugin.TiffImageFile)
        and image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0
    ):
        values = 65535 - values  # zero is white: Pillow minds that at 8 bits, not at 16
    grey = ((values + 128) // 257).astype(np.uint8)
    return np.stack([grey] * 3, axis=-1)


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except (SyntaxError, ValueError, TypeError, KeyError, IndexError, OSError, struct.error):
        return image  # a picture with broken EXIF is still a picture
    turn = TURNS.get(orientation)
    if turn is None:
        return image
    turned = image.transpose(turn)
    turned.format = image.format
    return turned


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
