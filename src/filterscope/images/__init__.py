"""What goes into a network: images from anywhere, decoded, fitted, and streamed in batches."""

# `normalise` and `denormalise` stay in filterscope.images.tensors: this package loads without torch.
from filterscope.images.decode import decode
from filterscope.images.opening import open_images
from filterscope.images.preprocessing import Preprocessing, fit
from filterscope.images.source import ImageSource
from filterscope.images.stream import Batch, stream

__all__ = ["Batch", "ImageSource", "Preprocessing", "decode", "fit", "open_images", "stream"]
