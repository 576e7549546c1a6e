"""Functions of `os` that tell too little by audit events, or nothing, in the place of the interpreter's own. Their frames are
hidden."""
import os
import posix

from . import observe
from .layout import hide, hide_module
from .state import S


def _put(name, original, wrapper):
    """Let a wrapper look like the function it stands for."""
    wrapper.__name__ = wrapper.__qualname__ = name
    wrapper.__module__ = "posix"
    wrapper.__doc__ = original.__doc__
    hide(wrapper.__code__)
    setattr(os, name, wrapper)


def wrap_status(name, original, follow):
    """A function that looks at a file, with the look noted."""

    def looked(path, *args, **kwargs):
        if not S.busy and not S.inert and not isinstance(path, int):
            S.busy += 1
            try:
                observe.saw_stat(observe.at(path, kwargs.get("dir_fd")), follow and kwargs.get("follow_symlinks", True))
            finally:
                S.busy -= 1
        return original(path, *args, **kwargs)

    for group in (os.supports_dir_fd, os.supports_follow_symlinks, os.supports_fd, os.supports_effective_ids):
        if original in group:
            group.add(looked)
    _put(name, original, looked)


def wrap_maker(name, original):
    """A function that makes a file without an audit event."""

    def made(path, *args, **kwargs):
        if not S.busy and not S.inert:
            S.busy += 1
            try:
                observe.on_made(observe.at(path, kwargs.get("dir_fd")), name)
            finally:
                S.busy -= 1
        return original(path, *args, **kwargs)

    _put(name, original, made)


def wrap_open():
    """The audit event of os.open does not tell the directory that a path is relative to."""
    original = posix.open

    def opened(path, flags, mode=0o777, *, dir_fd=None):
        if dir_fd is None or S.busy or S.inert:
            return original(path, flags, mode, dir_fd=dir_fd)
        S.busy += 1
        try:
            observe.on_open((observe.at(path, dir_fd), None, flags))
            return original(path, flags, mode, dir_fd=dir_fd)
        finally:
            S.busy -= 1

    os.supports_dir_fd.add(opened)
    _put("open", original, opened)


def install():
    for name, follow in (("stat", True), ("lstat", False), ("access", True), ("readlink", False)):
        wrap_status(name, getattr(posix, name), follow)
    for name in ("mkfifo", "mknod"):
        wrap_maker(name, getattr(posix, name))
    wrap_open()


hide_module(globals())
