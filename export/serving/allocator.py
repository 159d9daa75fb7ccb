"""How memory that requests leave is used again."""

import ctypes
import os

ARENAS = 2

_ARENA_MAX = -8  # M_ARENA_MAX of glibc's malloc.h


def share_arenas() -> bool:
    """Lets the threads of this process allocate from ARENAS arenas at most.

    glibc makes up to eight for each core, and what is free in one is of no
    use to the threads of another: a server of many threads holds ever more.
    To be called before threads begin. MALLOC_ARENA_MAX, where it is set,
    stays in force.

    Returns:
      Whether it is so now; other C libraries know nothing of arenas.
    """
    if "MALLOC_ARENA_MAX" in os.environ:
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(_ARENA_MAX, ARENAS) == 1
