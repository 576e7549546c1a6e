"""What Python keeps of the process id: a restored program is another process than the one that stopped, and goes on as if not."""
import posix
import sys

from .layout import hide_module

# The event loop that was running at the last checkpoint; it is found under the id of the process that started it only.
_loop = [None]


def remember():
    """Before a clone is made."""
    asyncio = sys.modules.get("_asyncio")
    _loop[0] = asyncio._get_running_loop() if asyncio is not None else None


def renew(old):
    """In a restored process, once the id of the process that stopped was `old`."""
    new = posix.getpid()
    threading = sys.modules.get("threading")
    if threading is not None:
        threading.main_thread()._set_native_id()
    if _loop[0] is not None:
        sys.modules["_asyncio"]._set_running_loop(_loop[0])
    process = sys.modules.get("multiprocessing.process")
    if process is not None:
        for one in list(process._dangling):
            if one._parent_pid == old:
                one._parent_pid = new
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        for finalizer in list(util._finalizer_registry.values()):
            if finalizer._pid == old:
                finalizer._pid = new


hide_module(globals())
