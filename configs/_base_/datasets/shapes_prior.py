"""Ordinary prompts of the shapes world, for prior pictures: every shape, plain and with patterns.

The name of the list begins with ``_``, as that of every helper variable: mim gridsearch writes out all names.
"""

_prior_prompts = [
    f"a photo of a {objects} on a {background} background"
    for objects, background in (
        ("red circle", "blue"), ("green square", "yellow"), ("blue triangle", "white"), ("yellow star", "purple"),
        ("white diamond", "green"), ("black cross", "orange"), ("purple ring", "pink"), ("orange heart", "grey"),
        ("pink circle", "black"), ("cyan square", "red"), ("red heart", "white"), ("green heart", "blue"),
        ("red and white striped circle", "green"), ("blue and yellow striped heart", "grey"),
        ("black and white checked square", "cyan"), ("green and white dotted diamond", "purple"),
        ("yellow and purple striped star", "black"), ("orange and black checked triangle", "white"),
        ("pink and blue dotted heart", "yellow"), ("cyan and red striped ring", "pink"),
        ("white and green checked heart", "red"), ("purple and yellow dotted cross", "blue"))]
