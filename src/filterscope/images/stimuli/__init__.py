"""Drawn images whose parameters are known: to be shown to a network as a physiologist shows them to a cell."""

from filterscope.images.stimuli.canvas import BLUE_YELLOW as BLUE_YELLOW
from filterscope.images.stimuli.canvas import LUMINANCE as LUMINANCE
from filterscope.images.stimuli.canvas import RED_GREEN as RED_GREEN
from filterscope.images.stimuli.contours import Arc as Arc
from filterscope.images.stimuli.contours import Bar as Bar
from filterscope.images.stimuli.contours import Corner as Corner
from filterscope.images.stimuli.contours import Edge as Edge
from filterscope.images.stimuli.flat import Grey as Grey
from filterscope.images.stimuli.flat import Hue as Hue
from filterscope.images.stimuli.grating import Grating as Grating
from filterscope.images.stimuli.series import Stimulus as Stimulus
from filterscope.images.stimuli.series import series as series
from filterscope.images.stimuli.series import stimuli as stimuli
from filterscope.images.stimuli.texture import Noise as Noise
from filterscope.images.stimuli.texture import Texture as Texture
