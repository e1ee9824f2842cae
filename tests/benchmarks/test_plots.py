"""Bars as a drawing: nothing is cut off."""

import re

from benchmarks.plots import Bar, Panel, chart


def drawn(label):
    return chart("a drawing", ["one"], [Panel("heading", [Bar(label, [2.0], mark=1.0, between=(1.5, 2.5)),
                                                          Bar("b", [1.0])])])


def test_the_longest_label_has_room_to_the_left_of_the_bars():
    for label in ("a", "a training with a name of many words, and of some more"):
        text = drawn(label)
        ends = {float(x) for x in re.findall(r'<text x="([\d.]+)" y="[\d.]+" text-anchor="end"', text)}
        bars = {float(x) for x in re.findall(r'<rect x="([\d.]+)"', text)}
        assert len(ends) == len(bars) == 1 and ends.pop() < bars.pop()
        assert 7 * len(label) <= float(re.search(r'<text x="([\d.]+)" y="[\d.]+" text-anchor="end"', text)[1])


def test_lengths_share_one_scale():
    text = drawn("a")
    widths = [float(width) for width in re.findall(r'<rect[^>]* width="([\d.]+)"', text)]
    assert widths[0] == 2 * widths[1]
    first = float(re.search(r'<rect x="([\d.]+)"', text)[1])
    mark = float(re.search(r'<line x1="([\d.]+)"[^>]*class="m"', text)[1])
    assert mark == first + widths[1]
