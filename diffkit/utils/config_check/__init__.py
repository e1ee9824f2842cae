"""The strict check of a config before anything heavy is imported: keys, types, files, conflicts.

``check_config`` is the whole of it. How it knows what a class takes: ``source``, ``symbols``, ``resolve``,
``classes`` and ``signatures`` read Python files as text; ``annotations``, ``guards`` and ``paths`` judge
values; ``walk`` goes through the config, ``roles`` and ``schema`` know MMEngine's places, ``rules`` the
options that exclude each other, ``places`` the file and line of each key. ``safe`` reads a config as data.
"""

from diffkit.utils.config_check.cautions import find_cautions, find_notes
from diffkit.utils.config_check.check import check_config
from diffkit.utils.config_check.faults import ConfigError, Fault
from diffkit.utils.config_check.safe import read_safely

__all__ = ["ConfigError", "Fault", "check_config", "find_cautions", "find_notes", "read_safely"]
