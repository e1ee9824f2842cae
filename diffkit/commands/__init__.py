"""The commands of diffkit, one module each.

A module has a docstring (the description in its help), ``add_arguments(parser)`` and ``run(args)``, which
returns an exit status or nothing. ``diffkit NAME`` and ``tools/NAME.py`` both go through it. Nothing heavy is
imported before ``run``: mim starts a script twice, once for its help.
"""
