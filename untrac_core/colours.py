"""Colours that mean the same in every figure, legend and report; readers who see few colours can tell them apart.

From Okabe and Ito's set (2008): vermilion, blue, green, and a grey.
"""

HARMFUL = "#D55E00"
HARMLESS = "#0072B2"
UNDECIDED = "#999999"
GROUND = {"light": "#F4F6F5", "dark": "#1B2422"}
"""The middle of a scale of colours: where nothing changes, the page's own ground is seen."""
LESS = "#009E73"
"""Where one side is looked at alone and place says nothing of the sign: less likely."""
