"""From a decoded image to what a network takes: size, channel order, value range, mean and standard deviation."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from filterscope.errors import BadImages, FilterscopeError
from filterscope.images.decode import MAX_PIXELS


@dataclass(frozen=True)
class Preprocessing:
    """What a network expects of its input.

    Args:
        input_size: (height, width) in pixels.
        mean, std: one per channel, in the units of ``value_range``.
        resize: the short side is first brought to this length, then the centre is cut out; None: the image is scaled
            to cover ``input_size`` and the centre is cut out.
        channels: order of the channels: "RGB", "BGR", "L" (grey), or "" for inputs that are no pictures.
        value_range: what the pixel values 0 and 255 become, before mean and std.
        interpolation: "bilinear", "bicubic" or "nearest", antialiased.
    Raises:
        FilterscopeError: if the sizes or lengths do not go together.
    """

    input_size: tuple[int, int] = (224, 224)
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    resize: int | None = None
    channels: str = "RGB"
    value_range: tuple[float, float] = (0.0, 1.0)
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        if len(self.input_size) != 2 or not all(type(length) is int and length >= 1 for length in self.input_size):
            raise FilterscopeError(f"input_size is (height, width), whole numbers from 1, not {self.input_size}")
        if self.resize is not None and (type(self.resize) is not int or self.resize < 1):
            raise FilterscopeError(f"resize is a whole number from 1, not {self.resize}")
        if len(self.value_range) != 2 or self.value_range[0] == self.value_range[1]:
            raise FilterscopeError(f"value_range is two different numbers, not {self.value_range}")
        if not all(math.isfinite(number) for number in (*self.mean, *self.std, *self.value_range)):
            raise FilterscopeError(f"mean, std and value_range are finite: {self.mean}, {self.std}, {self.value_range}")
        if len(self.mean) != len(self.std) or min(self.std, default=0.0) <= 0:
            raise FilterscopeError(f"mean and std have one number per channel, std above 0: {self.mean}, {self.std}")
        if self.channels and (self.channels not in ("RGB", "BGR", "L") or len(self.channels) != len(self.mean)):
            raise FilterscopeError(f"channels is RGB, BGR or L with as many means, not {self.channels!r}: {self.mean}")
        if self.interpolation not in ("bilinear", "bicubic", "nearest"):
            raise FilterscopeError(f"interpolation is bilinear, bicubic or nearest, not {self.interpolation!r}")

    @property
    def channel_count(self) -> int:
        """How many channels the network takes."""
        return len(self.mean)


RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
}


def fit(
    image: UInt8[np.ndarray, "height width channel"], preprocessing: Preprocessing
) -> UInt8[np.ndarray, "input_height input_width input_channel"]:
    """Bring an image to the size and the number of channels that a network takes; colours stay in the order RGB.

    An image that has ``input_size`` already is not scaled. Any other gives what torchvision's ``Resize`` and
    ``CenterCrop`` give for a Pillow image, except that nothing is padded: an image that would be smaller than
    ``input_size`` after scaling is scaled to cover it. A grey image is repeated for a colour network; a colour image
    becomes its luma (ITU-R 601) for a grey one.

    Raises:
        BadImages: if the channels do not fit the network, or the image is so long and thin that scaling it would take
            more than ``MAX_PIXELS`` pixels.
    """
    image = _with_channels(image, preprocessing)
    size = image.shape[:2]
    if size == preprocessing.input_size:
        return image
    height, width = _scaled_size(size, preprocessing)
    if height * width > MAX_PIXELS:
        raise BadImages(f"{size[1]} x {size[0]} pixels are too long and thin to scale; cut the image first")
    if (height, width) != size:
        image = _scaled(image, (height, width), RESAMPLING[preprocessing.interpolation])
    crop_height, crop_width = preprocessing.input_size
    # Half a pixel goes to the even side, as torchvision's CenterCrop has it.
    top, left = round((height - crop_height) / 2), round((width - crop_width) / 2)
    return image[top : top + crop_height, left : left + crop_width]


def _with_channels(
    image: UInt8[np.ndarray, "height width channel"], preprocessing: Preprocessing
) -> UInt8[np.ndarray, "height width input_channel"]:
    given, wanted = image.shape[2], preprocessing.channel_count
    if given == wanted:
        return image
    if preprocessing.channels == "L" and given == 3:
        return np.asarray(Image.fromarray(np.ascontiguousarray(image)).convert("L"))[..., None]
    if preprocessing.channels in ("RGB", "BGR") and given == 1:
        return np.repeat(image, 3, axis=2)
    raise BadImages(f"the image has {given} channels, the network takes {wanted}")


def _scaled_size(size: tuple[int, int], preprocessing: Preprocessing) -> tuple[int, int]:
    height, width = size
    crop_height, crop_width = preprocessing.input_size
    if preprocessing.resize is not None:
        short = preprocessing.resize
        scaled = (short, short * width // height) if height <= width else (short * height // width, short)
        if scaled[0] >= crop_height and scaled[1] >= crop_width:
            return scaled
    if crop_height * width >= crop_width * height:
        return crop_height, crop_height * width // height
    return crop_width * height // width, crop_width


def _scaled(
    image: UInt8[np.ndarray, "height width channel"], size: tuple[int, int], resampling: Image.Resampling
) -> UInt8[np.ndarray, "new_height new_width channel"]:
    """Scale with Pillow, which knows pictures of 1 and 3 channels: any other goes through channel by channel."""
    if image.shape[2] == 3:
        return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(size[::-1], resampling))
    planes = (Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(image, 2, 0))
    return np.stack([np.asarray(plane.resize(size[::-1], resampling)) for plane in planes], axis=-1)
