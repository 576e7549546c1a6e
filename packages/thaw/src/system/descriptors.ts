/** Descriptors that come from another process over a socket. */
import koffi from 'koffi'
import { ThawError } from './error.js'

const EAGAIN = 11
/** MSG_CMSG_CLOEXEC. */
const FLAGS = 0x40000000
/** Where the first descriptor stands behind the head of a control message (64 bits). */
const CONTROL_HEAD = 16

interface Calls {
  recvmsg: (fd: number, message: Record<string, unknown>, flags: number) => number
  dup2: (from: number, to: number) => number
}

let calls: Calls | undefined

/** Done before there is any hurry. */
export function loadCalls(): Calls {
  if (calls === undefined) {
    const library = koffi.load(null)
    const piece = koffi.struct('iovec', { base: 'uint8_t *', length: 'size_t' })
    koffi.struct('msghdr', {
      name: 'void *',
      namelen: 'uint32_t',
      pieces: koffi.pointer(piece),
      count: 'size_t',
      control: 'uint8_t *',
      controllen: 'size_t',
      flags: 'int',
    })
    calls = {
      recvmsg: library.func('long recvmsg(int fd, _Inout_ msghdr *message, int flags)') as Calls['recvmsg'],
      dup2: library.func('int dup2(int from, int to)') as Calls['dup2'],
    }
  }
  return calls
}

/**
 * Fills `data` with what a socket that does not block has, and takes the descriptors that come along; null: there is
 * nothing yet. The caller closes them.
 */
export function receiveDescriptors(fd: number, data: Buffer, count: number): number[] | null {
  const control = Buffer.alloc(CONTROL_HEAD + 4 * (count + 1))
  const message = {
    name: null,
    namelen: 0,
    pieces: [{ base: data, length: data.length }],
    count: 1,
    control,
    controllen: control.length,
    flags: 0,
  }
  const got = Number(loadCalls().recvmsg(fd, message, FLAGS))
  if (got < 0 && koffi.errno() === EAGAIN) return null
  if (got !== data.length || Number(control.readBigUInt64LE()) < CONTROL_HEAD + 4 * count)
    throw new ThawError('INTERNAL', 'A command came without its streams.')
  return Array.from({ length: count }, (_, i) => control.readInt32LE(CONTROL_HEAD + 4 * i))
}

/** The descriptor `to` becomes another name of `from`. */
export function dup2(from: number, to: number): void {
  if (loadCalls().dup2(from, to) < 0)
    throw new ThawError('INTERNAL', `Descriptor ${from} cannot become ${to} (errno ${koffi.errno()}).`)
}
