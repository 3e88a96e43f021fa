import threading
from functools import partial


def test_pytest_hears_of_an_exception_that_a_thread_leaves_behind() -> None:
    """It makes a warning of it, and warnings are errors; Strawberry would only print it."""
    hook = threading.excepthook
    assert isinstance(hook, partial)
    assert hook.func.__module__ == "_pytest.threadexception"
