"""The collector looks at nothing that was made inside, and goes on afterwards."""

import gc
import weakref

import pytest

from diffkit.utils.lasting import lasting_objects


class Node:
    def __init__(self):
        self.itself = self


@pytest.fixture(autouse=True)
def thawed():
    yield
    gc.unfreeze()


def test_what_is_made_inside_lasts_and_later_garbage_does_not():
    gc.collect()
    before = gc.get_freeze_count()
    with lasting_objects():
        assert not gc.isenabled()
        inside = weakref.ref(Node())
    assert gc.isenabled() and gc.get_freeze_count() > before
    outside = weakref.ref(Node())
    gc.collect()
    assert inside() is not None and outside() is None


def test_an_error_inside_and_a_collector_that_was_off():
    gc.disable()
    try:
        with pytest.raises(KeyError), lasting_objects():
            raise KeyError
        assert not gc.isenabled(), "it is left as it was"
    finally:
        gc.enable()
