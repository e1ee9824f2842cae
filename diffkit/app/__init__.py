"""The local web page of ``diffkit app``: paint, compare, and train from a handful of photographs.

It stands on ``diffkit.apis`` and on the standard library alone. ``fields`` reads what the page sends, ``roots`` says
which folders it may name, ``models`` lists what can be loaded, ``painting`` and ``jobs`` paint, ``photos``,
``recipes``, ``settings_file`` and ``trainings`` train, ``api`` answers, and ``server`` speaks HTTP.
"""
