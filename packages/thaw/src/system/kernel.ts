/** The few system calls that Node does not offer. */
import { closeSync, constants, openSync } from 'node:fs'
import koffi from 'koffi'
import { ThawError } from './error.js'

type IntCall = (...given: unknown[]) => number

const O_CLOEXEC = 0o2000000
const FIONREAD = 0x541b
const TCGETS = 0x5401
const TCSETS = 0x5402
const TIOCGPTN = 0x80045430
const TIOCSPTLCK = 0x40045431
const TIOCSWINSZ = 0x5414
const TIOCGWINSZ = 0x5413

/** The same number on every architecture, as for all newer calls. */
const SYS_OPENAT2 = 437
const RESOLVE_NO_MAGICLINKS = 0x02
const RESOLVE_BENEATH = 0x08
const RESOLVE_IN_ROOT = 0x10

const SEEK_DATA = 3
const SEEK_HOLE = 4
const ENXIO = 6

const AT_FDCWD = -100
const SECOND = 1_000_000_000n
/** The same on all architectures. */
const PIDFD_OPEN = 434
const PIDFD_GETFD = 438

/** FAN_CLOEXEC, FAN_NONBLOCK, FAN_UNLIMITED_QUEUE. */
const FAN_FLAGS = 0x1 | 0x2 | 0x10
/** FAN_MARK_ADD, FAN_MARK_MOUNT. */
const FAN_MARK = 0x1 | 0x10
const FAN_CLOSE_WRITE = 0x8

type Calls = Record<
  | 'pipe2'
  | 'ioctl'
  | 'fanotifyInit'
  | 'fanotifyMark'
  | 'utimensat'
  | 'mkfifo'
  | 'syscall'
  | 'openat2'
  | 'lseek',
  IntCall
>

let calls: Calls | undefined

function libc(): Calls {
  if (calls === undefined) {
    const library = koffi.load(null)
    calls = {
      pipe2: library.func('int pipe2(_Out_ int *fds, int flags)') as IntCall,
      ioctl: library.func('int ioctl(int fd, unsigned long request, _Inout_ uint8_t *argument)') as IntCall,
      // The C library has no function for it.
      openat2: library.func('syscall', 'long', ['long', 'int', 'str', 'uint8_t *', 'size_t']) as IntCall,
      fanotifyInit: library.func('int fanotify_init(unsigned int flags, unsigned int how)') as IntCall,
      fanotifyMark: library.func(
        'int fanotify_mark(int fd, unsigned int flags, uint64_t mask, int at, const char *path)',
      ) as IntCall,
      utimensat: library.func('int utimensat(int at, str path, int64_t *times, int flags)') as IntCall,
      mkfifo: library.func('int mkfifo(str path, uint mode)') as IntCall,
      lseek: library.func('int64_t lseek(int fd, int64_t offset, int whence)') as IntCall,
      syscall: library.func('long syscall(long number, long a, long b, long c)') as IntCall,
    }
  }
  return calls
}

function ioctl(fd: number, request: number, argument: Buffer, doing: string): void {
  if (libc().ioctl(fd, request, argument) !== 0) {
    throw new ThawError('INTERNAL', `The kernel refused ${doing} (errno ${koffi.errno()}).`)
  }
}

/** A pipe(2); both descriptors end with an exec. The caller closes them. */
export function makePipe(): { reader: number; writer: number } {
  const fds = [0, 0]
  if (libc().pipe2(fds, O_CLOEXEC) !== 0) {
    throw new ThawError('INTERNAL', `No pipe could be made (errno ${koffi.errno()}).`)
  }
  return { reader: fds[0] as number, writer: fds[1] as number }
}

/** Bytes that wait to be read from a pipe or a terminal. */
export function waitingBytes(fd: number): number {
  const count = Buffer.alloc(4)
  ioctl(fd, FIONREAD, count, 'to count what waits to be read')
  return count.readInt32LE()
}

/** Where an open file has bytes, in order; what is between is a hole, and reads as zeros. Moves its position. */
export function extentsOf(fd: number): { from: number; to: number }[] {
  const found: { from: number; to: number }[] = []
  for (let to = 0; ;) {
    const from = libc().lseek(fd, to, SEEK_DATA)
    if (from >= 0) to = libc().lseek(fd, from, SEEK_HOLE)
    if (from >= 0 && to >= 0) found.push({ from, to })
    else if (koffi.errno() === ENXIO) return found
    else throw new ThawError('INTERNAL', `The kernel refused to tell holes (errno ${koffi.errno()}).`)
  }
}

/** A descriptor, not blocking, that tells which files were written and closed by way of a directory's mount; null: not allowed. */
export function fanotifyWatch(directory: string): number | null {
  const fd = libc().fanotifyInit(FAN_FLAGS, constants.O_RDONLY | O_CLOEXEC)
  if (fd < 0) return null
  if (libc().fanotifyMark(fd, FAN_MARK, FAN_CLOSE_WRITE, AT_FDCWD, directory) === 0) return fd
  closeSync(fd)
  return null
}

export interface PseudoTerminal {
  /** Non-blocking. */
  master: number
  slave: number
  /** Below the root. */
  path: string
}

/**
 * A new pseudo terminal; the caller closes both descriptors.
 *
 * @param root directory that stands for `/`
 */
export function openTerminal(rows: number, cols: number, root: string): PseudoTerminal {
  const { O_RDWR, O_NOCTTY, O_NONBLOCK } = constants
  const master = openSync(`${root}/dev/ptmx`, O_RDWR | O_NOCTTY | O_NONBLOCK)
  try {
    const number = Buffer.alloc(4)
    ioctl(master, TIOCSPTLCK, number, 'a terminal')
    ioctl(master, TIOCGPTN, number, 'a terminal')
    const path = `/dev/pts/${number.readInt32LE()}`
    const slave = openSync(root + path, O_RDWR | O_NOCTTY)
    resizeTerminal(master, rows, cols)
    return { master, slave, path }
  } catch (error) {
    closeSync(master)
    throw error
  }
}

/** Sets the size; the programs in the foreground are told when it changes. */
export function resizeTerminal(fd: number, rows: number, cols: number): void {
  ioctl(fd, TIOCSWINSZ, Buffer.from(new Uint16Array([rows, cols, 0, 0]).buffer), 'the size of a terminal')
}

export function terminalSize(fd: number): { rows: number; cols: number } {
  const size = Buffer.alloc(8)
  ioctl(fd, TIOCGWINSZ, size, 'to tell the size of a terminal')
  return { rows: size.readUInt16LE(0), cols: size.readUInt16LE(2) }
}

/**
 * Opens a path below a directory, whoever changes links on the way meanwhile.
 *
 * @param how `root`: as if the directory were `/`; `beneath`: refused when a link or `..` leads out of it
 * @returns `fd` negative: it was refused, for `errno`
 */
export function openBelow(
  directory: number,
  path: string,
  flags: number,
  how: 'root' | 'beneath',
): { fd: number; errno: number } {
  const resolve = (how === 'root' ? RESOLVE_IN_ROOT : RESOLVE_BENEATH) | RESOLVE_NO_MAGICLINKS
  const asked = Buffer.alloc(24)
  asked.writeBigUInt64LE(BigInt(flags | O_CLOEXEC), 0)
  asked.writeBigUInt64LE(BigInt(resolve), 16)
  const fd = Number(libc().openat2(SYS_OPENAT2, directory, path, asked, asked.length))
  return { fd, errno: fd < 0 ? koffi.errno() : 0 }
}

/** A duplicate of another process's descriptor, which the caller closes; null: there is none. */
export function duplicateOf(pid: number, fd: number): number | null {
  const process = Number(libc().syscall(PIDFD_OPEN, pid, 0, 0))
  if (process < 0) return null
  try {
    const own = Number(libc().syscall(PIDFD_GETFD, process, fd, 0))
    return own < 0 ? null : own
  } finally {
    closeSync(process)
  }
}

/** A named pipe. */
export function makeFifo(path: string, mode: number): void {
  if (libc().mkfifo(path, mode) !== 0) {
    throw new ThawError('INTERNAL', `The kernel refused the pipe ${path} (errno ${koffi.errno()}).`)
  }
}

/** Sets the times of last access and change, in nanoseconds since 1970: programs compare them to the last digit. */
export function setTimes(path: string, accessed: bigint, modified: bigint): void {
  const parts = [accessed, modified].flatMap((time) => [time / SECOND, time % SECOND])
  if (libc().utimensat(AT_FDCWD, path, BigInt64Array.from(parts), 0) !== 0) {
    throw new ThawError('INTERNAL', `The kernel refused the times of ${path} (errno ${koffi.errno()}).`)
  }
}

/** Flags of struct termios, of which the four sets are its first words. */
const LOCAL_AT = 12
const CHARACTERS_AT = 17
const ICANON = 0o2
/** ISIG, ECHO, ECHOE, ECHOK, ECHONL, ECHOCTL, ECHOPRT, ECHOKE, IEXTEN. */
const TELLING = 0o1 | 0o10 | 0o20 | 0o40 | 0o100 | 0o1000 | 0o2000 | 0o4000 | 0o100000
const [VEOF, VTIME, VMIN] = [4, 5, 6]

/** How a terminal treats what is typed and printed: the kernel's struct termios. */
export class TerminalMode {
  static readonly size = 36
  readonly bytes: Buffer

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  static of(fd: number): TerminalMode {
    const bytes = Buffer.alloc(TerminalMode.size)
    ioctl(fd, TCGETS, bytes, 'to tell the mode of a terminal')
    return new TerminalMode(bytes)
  }

  /** At once; what waits to be read stays. */
  give(fd: number): void {
    ioctl(fd, TCSETS, Buffer.from(this.bytes), 'the mode of a terminal')
  }

  /** Whether programs read whole lines. */
  get byLines(): boolean {
    return (this.bytes.readUInt32LE(LOCAL_AT) & ICANON) !== 0
  }

  /** What is typed for the end of a file. */
  get endOfFile(): number {
    return this.bytes[CHARACTERS_AT + VEOF] ?? 0
  }

  /** The same, but what is typed arrives as it is, sends no signal and does not show. */
  get silent(): TerminalMode {
    const bytes = Buffer.from(this.bytes)
    bytes.writeUInt32LE(0)
    bytes.writeUInt32LE((bytes.readUInt32LE(LOCAL_AT) & ~TELLING) >>> 0, LOCAL_AT)
    return new TerminalMode(bytes)
  }

  /** Silent, and reading takes what is there, be it nothing. */
  get raw(): TerminalMode {
    const { bytes } = this.silent
    bytes.writeUInt32LE((bytes.readUInt32LE(LOCAL_AT) & ~ICANON) >>> 0, LOCAL_AT)
    bytes[CHARACTERS_AT + VMIN] = bytes[CHARACTERS_AT + VTIME] = 0
    return new TerminalMode(bytes)
  }
}
