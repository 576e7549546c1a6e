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
    # Whatever is not there yet, in a module that is only half imported, has kept no id either.
    process, util = (sys.modules.get("multiprocessing." + name) for name in ("process", "util"))
    for one in list(getattr(process, "_dangling", ())):
        if getattr(one, "_parent_pid", None) == old:
            one._parent_pid = new
    for finalizer in list(getattr(util, "_finalizer_registry", {}).values()):
        if getattr(finalizer, "_pid", None) == old:
            finalizer._pid = new


hide_module(globals())
