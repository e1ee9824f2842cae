"""Sentences that a learned subject is tried in, of the kinds that DreamBooth's protocol has: places, company, changes.

These are the project's own. Those of the paper are read from the file that its data set brings, see
:class:`~diffkit.datasets.protocols.DreamBoothPrompts`. ``{}`` is where the subject stands.
"""

_PLACES = (
    "a {} in a bamboo forest", "a {} on fresh snow", "a {} at the edge of the sea", "a {} on an old stone bridge",
    "a {} on a yellow blanket", "a {} on kitchen tiles", "a {} with skyscrapers behind it",
    "a {} with a volcano behind it", "a {} in front of a green door", "a {} on a round carpet among trees")
_CHANGES = ("a blue {}", "a golden {}", "a dusty {}", "a transparent {}", "a {} in the shape of a ball")
_THINGS = (
    "a {} with a field of lavender behind it", "a {} among fallen leaves", "a {} with a castle behind it",
    "a {} drifting on a lake", "a {} half sunk in soup", "a {} on moss with mushrooms around it",
    "a {} on a sheet of glass", "a {} on the platform of a station", "a {} on gravel", "a {} on a black cloth")
_LIVING = (
    "a {} with a straw hat", "a {} with a crown", "a {} with a striped scarf", "a {} with a bow tie and an umbrella",
    "a {} in the clothes of a baker", "a {} in the suit of an astronaut", "a {} in the uniform of a pilot",
    "a {} with headphones", "a {} in a green raincoat", "a {} in the cloak of a magician")

#: 25 for things, and 25 for what lives, which share places and changes.
OWN_PROMPTS: dict[str, tuple[str, ...]] = {
    "object": (*_PLACES, *_THINGS, *_CHANGES), "live": (*_PLACES, *_LIVING, *_CHANGES)}
