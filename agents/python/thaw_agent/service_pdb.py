"""pdb at a breakpoint of a service, for whoever is attached; it is loaded when somebody is."""
import bdb
import code
import os
import pdb
import sys

from .service_debug import Quit

HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class Pdb(pdb.Pdb):
    def __init__(self, debugger):
        # Both know by themselves whose prompt it is: pdb sets them for the whole process while it executes a statement.
        super().__init__(stdin=sys.stdin, stdout=sys.stdout, nosigint=True, skip=["thaw_agent.*"])
        self.debugger = debugger

    def begin(self, frame):
        """The prompt, at once: not at the next line."""
        bdb.Bdb.set_trace(self, frame)
        sys.settrace(None)
        # What lies below the function that was called is nobody's business.
        below = frame
        while below is not None and not below.f_code.co_filename.startswith(HERE):
            below = below.f_back
        while below is not None:
            below.f_trace = None
            below = below.f_back
        self.interaction(frame, None)
        if self.quitting:
            raise Quit

    def trace_on(self):
        """From the next line on, where it was not told to go on to the end."""
        if self.breaks or self.stoplineno != -1:
            sys.settrace(self.trace_dispatch)

    def trace_dispatch(self, frame, event, arg):
        try:
            return super().trace_dispatch(frame, event, arg)
        except bdb.BdbQuit:
            raise Quit from None

    def interaction(self, frame, *rest):
        with self.debugger.prompting(frame or self.botframe):
            super().interaction(frame, *rest)

    def get_stack(self, frame, traceback):
        stack, at = super().get_stack(frame, traceback)
        own = [i for i, (one, _) in enumerate(stack) if one.f_code.co_filename.startswith(HERE)]
        first = own[-1] + 1 if own else 0
        return stack[first:], at - first

    def show_again(self):
        """For one who comes to a prompt that is there."""
        self.print_stack_entry(self.stack[self.curindex])
        self.debugger.write(self.prompt)

    def default(self, line):
        super().default(line)
        if sys.version_info < (3, 13):
            # Where this is not called by the interpreter, nobody else brings assignments to the frame.
            import ctypes

            ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(self.curframe), ctypes.c_int(0))

    def do_quit(self, arg):
        self.set_quit()
        return 1

    do_q = do_exit = do_quit

    def do_interact(self, arg):
        frame = self.curframe
        try:
            Console({**frame.f_globals, **frame.f_locals}, self.debugger).interact("*interactive* (exit() leaves it)", "")
        except SystemExit:
            pass


class Console(code.InteractiveConsole):
    def __init__(self, space, debugger):
        super().__init__(space)
        self.debugger = debugger

    def raw_input(self, prompt=""):
        self.debugger.write(prompt)
        return self.debugger.readline()[:-1]

    def write(self, data):
        self.debugger.write(data)
