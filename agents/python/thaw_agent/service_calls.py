"""What a service can be called for, and how arguments, results and errors cross the wire."""
import base64
import inspect
import json
import os
import sys
import traceback
import types

from . import service_code, telling

_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
# Of one error's traceback, or text. Characters.
LONGEST = 50_000
# Of a result, and of what is told of one: frames are held in memory (packages/thaw/src/services/line.ts). Bytes.
LARGEST = 256 * 1024 * 1024 - 64 * 1024


class Refused(Exception):
    """A call that did not reach the function, or whose result cannot leave it."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


class Service:
    """The callables behind one name."""

    def __init__(self, module, setting):
        self.module = module
        self.only = setting.get("callables")
        self.pickle = bool(setting.get("pickle"))
        # Where the variables of a call that raises are to be told: of the code below here.
        self.told = setting["root"] if setting.get("repair") else None
        self.version = ""
        self.instance = None
        self.functions = {}
        made = setting.get("class")
        if made is not None:
            kind = find(module, made["name"])
            self.instance = kind(*made["args"], **made["kwargs"])
        self.refresh()

    def refresh(self):
        """What there is to call now. Raises Refused where something that was asked for is not there."""
        found = {}
        if self.instance is not None:
            for name in dir(type(self.instance)):
                if not name.startswith("_") and callable(getattr(type(self.instance), name)):
                    found[name] = getattr(self.instance, name)
            if callable(self.instance):
                found["__call__"] = self.instance.__call__
        elif self.only is None:
            for name, value in vars(self.module).items():
                own = getattr(value, "__module__", None) == self.module.__name__
                if own and not name.startswith("_") and callable(value) and not isinstance(value, type):
                    found[name] = value
        if self.only is not None:
            found = {name: found[name] if name in found else find(self.module, name) for name in self.only}
        self.functions = {name: (value, inspect.iscoroutinefunction(value)) for name, value in found.items()}

    def listed(self):
        return [
            {"name": name, "async": later, "signature": signature(value), "doc": inspect.getdoc(value) or None}
            for name, (value, later) in self.functions.items()
        ]


def find(module, name):
    value = module
    try:
        for part in name.split("."):
            value = getattr(value, part)
    except AttributeError:
        raise Refused("unknown", "%s has no %s." % (module.__name__, name)) from None
    if not callable(value):
        raise Refused("unknown", "%s in %s cannot be called." % (name, module.__name__))
    return value


def signature(function):
    try:
        return str(_signature(function))[:1000]
    except (TypeError, ValueError):
        return "(...)"


def _signature(function):
    if sys.version_info < (3, 14):
        return inspect.signature(function)
    # Annotations may name what is not there.
    import annotationlib

    return inspect.signature(function, annotation_format=annotationlib.Format.FORWARDREF)


def arguments(kind, body, pickle):
    """Positional and named arguments. An object whose only names are `args` (a list) and `kwargs` (an object) holds both; any other
    object holds named arguments, a list positional ones; bytes are one argument."""
    if kind == "bytes":
        return (body,), {}
    if kind == "pickle":
        if not pickle:
            raise Refused("arguments", "This service takes no pickle: it was deployed without.")
        import pickle as module

        try:
            args, kwargs = module.loads(body)
        except Exception as error:
            raise Refused("arguments", "The arguments cannot be unpickled: %s" % error) from None
        return args, kwargs
    if not body:
        return (), {}
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused("arguments", "The arguments are not JSON: %s" % error) from None
    if isinstance(given, list):
        return given, {}
    if not isinstance(given, dict):
        raise Refused("arguments", "Arguments are an object or a list, not %s." % type(given).__name__)
    if given and given.keys() <= {"args", "kwargs"}:
        args, kwargs = given.get("args", []), given.get("kwargs", {})
        if isinstance(args, list) and isinstance(kwargs, dict):
            return args, kwargs
    return (), given


def encoded(value, pickle):
    """What a result is on the wire: its kind and its bytes."""
    kind, content = _encoded(value, pickle)
    if len(content) > LARGEST:
        raise Refused("result", "The result takes %d bytes; no more than %d can be sent." % (len(content), LARGEST))
    return kind, content


def _encoded(value, pickle):
    if pickle:
        import pickle as module

        try:
            return "pickle", module.dumps(value)
        except Exception as error:
            raise Refused("result", "The result, of type %s, cannot be pickled: %s" % (type(value).__name__, error)) from None
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "bytes", bytes(value)
    if hasattr(value, "read") and hasattr(value, "close"):
        with value:
            content = value.read()
        return "bytes", content if isinstance(content, bytes) else content.encode()
    try:
        return "json", _encode(value).encode("utf-8", "surrogatepass")
    except (TypeError, ValueError, RecursionError) as error:
        raise Refused("result", "The result, of type %s, is no JSON: %s" % (type(value).__name__, error)) from None


def misfit(function, args, kwargs, error):
    """Whether arguments did not fit the signature: the error was raised where the function was to begin."""
    if not isinstance(error, TypeError) or error.__traceback__ is None or error.__traceback__.tb_next is not None:
        return None
    try:
        _signature(function).bind(*args, **kwargs)
    except TypeError as why:
        return "%s, and the signature is %s" % (why, signature(function))
    except ValueError:
        pass
    return None


def describe(error, root=None):
    """An error as it crosses the wire; with `root`, also where it stood, with the variables of the code below there."""
    if isinstance(error, Refused):
        return {"kind": error.kind, "type": "Refused", "module": "thaw", "message": str(error), "traceback": "", "args": None}
    if isinstance(error, service_code.CodeError):
        return {"kind": error.kind, "type": "CodeError", "module": "thaw", "message": str(error), "traceback": "", "args": None,
                "file": error.path, "line": error.line}
    kind = type(error)
    told = {"kind": "raised", "type": kind.__qualname__, "module": kind.__module__, "message": text(error),
            "traceback": told_by(error), "args": None}
    if isinstance(error, SyntaxError):
        told.update(kind="syntax", file=error.filename or "", line=error.lineno or 0)
    try:
        args = _encode(error.args)
        if len(args) <= LONGEST:
            told["args"] = json.loads(args)
    except Exception:
        pass
    if root is not None:
        told["exceptions"] = standing(error, root)
    return told


def ended(kind, message):
    """A call that neither returned nor raised an error of its own."""
    return {"kind": kind, "type": kind.capitalize(), "module": "thaw", "message": message, "traceback": "", "args": None}


def standing(error, root):
    try:
        chain = telling.chain(error, telling.Text(), lambda path: path.startswith(root + os.sep))
    except Exception:
        return []
    for one in chain:
        one["frames"] = [frame for frame in one["frames"] if not frame["file"].startswith(HERE)]
    return chain


def told_by(error):
    """The traceback, without the frames of the service's own."""
    try:
        whole = traceback.TracebackException.from_exception(error)
        queue = [whole]
        for one in queue:
            one.stack[:] = [frame for frame in one.stack if not frame.filename.startswith(HERE) and "importlib._bootstrap" not in frame.filename]
            queue += [other for other in (one.__cause__, one.__context__) if other is not None]
        return "".join(whole.format())[-LONGEST:]
    except Exception:
        return ""


def text(error):
    try:
        whole = str(error)
        return whole if len(whole) <= LONGEST else whole[:LONGEST] + "..."
    except Exception:
        return "(its text cannot be made)"


def as_bytes(files):
    return {path: base64.b64decode(content) for path, content in files.items()}


def refusal(error):
    return {"t": "refused", "error": describe(error)}


def patch(project, service, files, message):
    """New code in this process, or other names to be called. The answer to it."""
    before = service.functions, service.only
    service.only = message["callables"]
    try:
        report = project.apply(as_bytes(files))
        try:
            service.refresh()
        except Refused as error:
            service.functions, service.only = before
            return refusal(error)
    except service_code.CodeError as error:
        service.functions, service.only = before
        return refusal(error)
    service.version = message["version"]
    return {"t": "patched", "report": report, "callables": service.listed(), "files": project.files()}
