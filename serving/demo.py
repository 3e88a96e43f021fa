"""placeholder"""


def run(*, keep: bool) -> int:
    return 0
