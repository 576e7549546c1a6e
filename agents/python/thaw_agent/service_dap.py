"""A call at its breakpoint, for an editor: by debugpy, where the interpreter of the service has it."""
import sys
import threading


def is_attached():
    debugpy = sys.modules.get("debugpy")
    return debugpy is not None and debugpy.is_client_connected()


def serve(debugger, frame):
    """Listens on a loopback port, and stops the frame for the editor that comes. Returns whether it could."""
    try:
        import debugpy
    except ImportError:
        debugger.line.send({"t": "refused", "message": "%s has no debugpy" % sys.executable})
        return False
    port = listen(debugpy)
    debugger.line.send({"t": "dap", "port": port})
    waiting = threading.Thread(target=release, args=(debugger, debugpy), name="thaw-dap", daemon=True)
    waiting.start()
    debugpy.wait_for_client()
    if debugpy.is_client_connected():
        stop(frame)
    return True


_port = None


def listen(debugpy):
    """It can listen once in a process."""
    global _port
    if _port is None:
        # What it starts is to be started by the same interpreter.
        debugpy.configure(python=sys.executable)
        _port = debugpy.listen(("127.0.0.1", 0))[1]
    return _port


def release(debugger, debugpy):
    """Whoever asked for it leaves, or the time is up: the call goes on."""
    from .service_wire import Gone

    try:
        while not (debugger.released or debugger.ended):
            debugger.next()
    except Gone:
        return
    if not debugpy.is_client_connected():
        debugpy.wait_for_client.cancel()


def stop(frame):
    import pydevd

    pydevd.settrace(suspend=True, trace_only_current_thread=True, patch_multiprocessing=False, stop_at_frame=frame)
