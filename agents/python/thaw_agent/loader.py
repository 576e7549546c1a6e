"""Project modules come in through here: their code instrumented, from a cache where the source was seen before."""
import marshal
import os
import posix
import sys
import time

import _frozen_importlib as bootstrap
import _frozen_importlib_external as external
import _sha1

from . import classes, stops, traps
from .layout import hide, hide_module
from .paths import classify
from .state import S, File

# What a cached file begins with; then the source's mtime and ctime in ns, its size, and the sha1 of its bytes.
_FORMAT = b"thaw3-%s\n" % sys.version.split()[0].encode()
_STAMP = 24
_HEAD = len(_FORMAT) + _STAMP + 20


def digest_of(source):
    return _sha1.sha1(source).hexdigest()


def read(path):
    """All of a file, with as few calls as will do: this runs for every module of every import."""
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        size = posix.fstat(fd).st_size
        data = posix.read(fd, size + 1)
        while len(data) != size:
            more = posix.read(fd, 1 << 20)
            if not more:
                break
            data += more
        return data
    finally:
        posix.close(fd)


def _write(path, data):
    """Whole or not at all; a full disk only costs the cache."""
    temporary = "%s.%d" % (path, posix.getpid())
    try:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError:
        try:
            os.unlink(temporary)
        except OSError:
            pass


def source_path(cache, digest):
    return "%s/src/%s" % (cache, digest)


def _name(path):
    return "%s-%s-%d" % (_sha1.sha1(os.fsencode(path)).hexdigest(), sys.implementation.cache_tag, sys.flags.optimize)


def code_path(cache, path, digest):
    return "%s/code/%s-%s" % (cache, digest, _name(path))


def _cached(file):
    """(header, code) of a cache file, or None."""
    try:
        data = read(file)
    except OSError:
        return None
    if not data.startswith(_FORMAT):
        return None
    try:
        return data[len(_FORMAT):_HEAD], marshal.loads(memoryview(data)[_HEAD:])
    except (ValueError, EOFError, TypeError):
        return None


def load(cache, path, digest):
    """Cached instrumented code of a version of a source, or None."""
    found = _cached(code_path(cache, path, digest))
    return None if found is None else found[1]


def load_unread(cache, path, status):
    """(sha1, code) of a source that looks as when it was cached, or None. Spares reading it."""
    found = _cached("%s/code/%s" % (cache, _name(path)))
    if found is None or found[0][:_STAMP] != _stamp(status):
        return None
    return found[0][_STAMP:].hex(), found[1]


def _stamp(status):
    times = status.st_mtime_ns, status.st_ctime_ns, status.st_size
    return b"".join([value.to_bytes(8, "little", signed=True) for value in times])


def build(cache, path, source, digest, status=None):
    """Compile and instrument a source, and keep both. Raises what compile raises."""
    made = traps.instrument(compile_plain(path, source), path, source)
    _write(source_path(cache, digest), source)
    keep(cache, path, digest, made, status)
    return made


# A file changed twice within the clock's grain looks the same both times.
GRAIN = 50_000_000


def keep(cache, path, digest, code, status):
    """Cache a version of a file; `status`: how the file looked before it was read, to know it again unread."""
    known = status is not None and time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > GRAIN
    head = _FORMAT + (_stamp(status) if known else bytes(_STAMP)) + bytes.fromhex(digest)
    data = head + marshal.dumps(code)
    _write(code_path(cache, path, digest), data)
    if known:
        _write("%s/code/%s" % (cache, _name(path)), data)


def compile_plain(path, source):
    return compile(source, path, "exec", dont_inherit=True)


def code_of(path, digest, rewrite):
    """Instrumented code of a version of a file that the daemon names. `rewrite`: the module is one of pytest's."""
    cache = S.config["cache"]
    lines = stops.lines_of(path) if S.stops else {}
    if rewrite is None and not lines:
        code = load(cache, path, digest)
        if code is not None:
            return code
    source = read(path)
    if digest_of(source) != digest:
        raise ValueError("the file was changed again")
    if rewrite is not None:
        return traps.instrument(rewrite(path), path, b"", lines)
    if lines:
        return traps.instrument(compile_plain(path, source), path, source, lines)
    return build(cache, path, source, digest)


def register(path, digest, code, module, rewrite=None):
    """A version of a project file came into this process."""
    file = S.files.get(path)
    if file is not None:
        # Two modules over one file, or a reload: which of them an edit concerns could not be told apart.
        file.trees.append(code)
        S.event("opaque", "%s was loaded twice" % path)
        S.opaque = True
    else:
        S.files[path] = File(path, digest, code, rewrite, module)
    S.event("load", path, digest, module)
    classes.came(path)


def of_project(path):
    return path.endswith(".py") and classify(path) == "project"


def project_code(path, module):
    """Code of a project file that is about to run. Raises SyntaxError and OSError as the import system would."""
    try:
        digest, code = _project_code(path)
    except BaseException:
        # No code came in, but what the file holds decided that.
        S.event("read", path, _signature(path))
        raise
    register(path, digest, code, module)
    return code


def _project_code(path):
    cache = S.config["cache"]
    lines = stops.lines_of(path) if S.stops else None
    if lines:
        source = read(path)
        digest = digest_of(source)
        _write(source_path(cache, digest), source)
        return digest, traps.instrument(compile_plain(path, source), path, source, lines)
    status = posix.stat(path)
    found = load_unread(cache, path, status)
    if found is not None:
        return found
    source = read(path)
    digest = digest_of(source)
    code = load(cache, path, digest)
    if code is None:
        code = build(cache, path, source, digest, status)
    else:
        keep(cache, path, digest, code, status)
    return digest, code


def _signature(path):
    try:
        found = posix.stat(path)
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ino]


class SourceFileLoader(external.SourceFileLoader):
    """The interpreter's own loader, with instrumented code for project files."""

    def get_code(self, fullname):
        # Without its arguments super() asks for the running frame, which is hidden (from 3.12 on it then finds another).
        original = super(SourceFileLoader, self).get_code
        path = self.path
        if S.inert or S.opaque or type(path) is not str:
            return original(fullname)
        if not path.startswith("/"):
            path = os.path.abspath(path)
        if not of_project(path):
            return original(fullname)
        S.busy += 1
        try:
            # The import system takes its own frames out of a traceback when the last of them has this name.
            return bootstrap._call_with_frames_removed(project_code, path, fullname)
        finally:
            S.busy -= 1


SourceFileLoader.__module__ = "_frozen_importlib_external"


def install():
    """Every path finder made from now on hands .py files to our loader; those made already are changed."""

    def ours(loader):
        return SourceFileLoader if loader is external.SourceFileLoader else loader

    for path_hook in sys.path_hooks:
        closure = getattr(path_hook, "__closure__", None) or ()
        for name, cell in zip(path_hook.__code__.co_freevars if closure else (), closure):
            if name == "loader_details":
                cell.cell_contents = tuple((ours(loader), suffixes) for loader, suffixes in cell.cell_contents)
    for finder in sys.path_importer_cache.values():
        if type(finder) is external.FileFinder:
            finder._loaders = [(suffix, ours(loader)) for suffix, loader in finder._loaders]


hide_module(globals())
hide(SourceFileLoader.get_code.__code__)
