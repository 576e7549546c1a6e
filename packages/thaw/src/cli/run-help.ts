export const RUN_HELP = `Usage: thaw run [options] [--] COMMAND [ARGUMENTS...]

Runs a command. The first time it runs as always; after an edit, the same command in the same
directory goes on from just before the first use of what was edited, and prints what a full run
would print. Its output and exit code are those of the command.

  thaw run python3 train.py --epochs 3
  thaw run pytest -x tests/
  thaw run python3 -m pkg.tool < data.csv
  thaw run make report              (Python programs below it resume, it itself runs)

Options:
  --fresh            run from the start, whatever is known
  --effects CHOICE   what to do about network traffic, child processes and writes elsewhere that
                     would be skipped: redo (the default: do them again), or keep (let them stand)
  --engine CHOICE    what stops and copies the program: auto (the default), fork, process (any
                     program, by criu: checkpoints are files, and outlive thaw's daemon), or vm (a
                     machine of its own: the project is carried in, its changes are carried back)
  --break PLACE      stop there, with a checkpoint to go on from as often as wanted (thaw resume):
                     app.py:train, app.py:42 or pkg.mod:Class.method, each with #N for the Nth time
  --break-output REGEX  stop when the program prints that (process, vm)
  --break-listen PORT  stop when the program listens there (process, vm)
  --net CHOICE       of the process engine: host (the default), private (a loopback of its own), or
                     private+out
  --tcp CHOICE       what becomes of connections to the outside at a checkpoint of the process engine:
                     keep, or close; without it there is no checkpoint then
  --image IMAGE      run in the root file system of an image, or of a directory (./DIR): the project
                     stays where it is, all else is that of the image
  --memory SIZE      of the machine (vm), as 2GB; without it 1 GiB
  --cpus N           processors of the machine (vm); without it one
  --every TIME       take a checkpoint every 5s, say, besides the good moments
  --report FILE      write what was skipped, why, and how long it took, as JSON
  -t, --terminal     give the program a terminal
  -q, --quiet        no line of thaw's own at the end
  -h, --help         this text

Exit code: the command's; 128+n when signal n ended it; 126 when it may not be executed, 127 when
it was not found, 125 when thaw itself failed.
`
