"""Ordinary prompts of the shapes world, for prior pictures: 64, with every shape, colour, size, place and pattern.

What the prior pictures do not show is forgotten first: prompts without sizes and places cost small objects. Names begin
with ``_``, as those of every helper variable: mim gridsearch writes out all names.
"""

_colours = ("red", "green", "blue", "yellow", "purple", "orange", "pink", "cyan", "white", "black")
_backgrounds = ("a red", "a green", "a blue", "a yellow", "a purple", "an orange", "a pink", "a cyan", "a white", "a black",
                "a grey")
_shapes = ("circle", "square", "triangle", "star", "heart", "diamond", "cross", "ring")
_patterns = ("striped", "checked", "dotted")
_places = ("in the centre", "at the top", "at the bottom", "at the left", "at the right", "at the top left",
           "at the top right", "at the bottom left", "at the bottom right")

_plain = [
    f"a photo of a {('small', 'medium', 'large')[i % 3]} {_colours[i % 10]} {_shapes[i % 8]} {_places[i % 9]} "
    f"on {_backgrounds[(i + 4) % 11]} background" for i in range(32)]
_patterned = [
    f"a photo of a {('medium', 'large')[i // 4 % 2]} {_colours[i % 10]} and {_colours[(i + 3) % 10]} "
    f"{_patterns[i % 3]} {_shapes[i % 8]} {_places[i % 9]} on {_backgrounds[(i + 8) % 11]} background"
    for i in range(32)]
_prior_prompts = _plain + _patterned
