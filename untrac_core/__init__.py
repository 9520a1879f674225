"""Untrac: which of a language model's training subsets make it say this, and how sure are we?"""

__version__ = "0.1.0"

import os as _os

# Of the hub, nothing but what the user names is asked for: no usage statistics, no other transfer service. These are
# read when huggingface_hub is imported, which any library may do first.
for _name in ("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_UPDATE_CHECK", "DO_NOT_TRACK"):
    _os.environ[_name] = "1"
