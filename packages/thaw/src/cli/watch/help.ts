export const WATCH_HELP = `Usage: thaw watch [options] [--] COMMAND [ARGUMENTS...]

Runs a command at once, and again at every save, like \`thaw run\`: only what the edit changed. After a
save that changes nothing of what the command prints (a comment, a file it does not use) nothing is
printed. Ctrl-C ends it.

  thaw watch python3 report.py
  thaw watch pytest -x tests/

A save is a change of a file that the command used, of a Python file of the project, or a file that
came to or went from it; where thaw cannot know what the command uses (it is not Python, or starts
other programs), any change in the project. What the command writes itself is no save. Hidden files
and directories, node_modules and installed packages do not count, unless the command used them.

A save while the command runs stops it (SIGTERM, after two seconds SIGKILL) and begins it anew.
The command has no stdin.

Options: those of \`thaw run\` (see \`thaw run --help\`). --report FILE holds the last run.
`
