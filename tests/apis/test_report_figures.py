"""Numbers of a report where rounding gives them one digit more."""

from diffkit.apis.report.figures import count, number


def test_numbers_that_round_up_to_more_digits():
    assert [number(x) for x in (9999.7, -9999.9, 0.99996, 9999.4)] == ["10,000", "-10,000", "1", "9999"]
    assert [count(x) for x in (999, 999_600, 999.7e9)] == ["999", "1 M", "1 T"]
