/** TCP sockets of a network namespace, as the kernel lists them. */
import { closeSync, openSync, readSync } from 'node:fs'

export interface TcpSocket {
  local: string
  remote: string
  established: boolean
}

/** States in which a socket has a peer: all but LISTEN and CLOSE. */
const WITHOUT_PEER = new Set(['0A', '07'])

const LISTEN = '0A'
const LIST = 64 * 1024

/** Inodes of the sockets that listen on a port, in the network of a process. */
export function readListening(pid: number, port: number): Set<string> {
  const found = new Set<string>()
  for (const [local, , state, inode] of readRows(pid)) {
    if (state === LISTEN && portOf(local) === port) found.add(inode)
  }
  return found
}

/** Whether anybody listens on a port, in the network of a process. */
export function hasListener(pid: number, port: number): boolean {
  for (const [local, , state] of readRows(pid)) if (state === LISTEN && portOf(local) === port) return true
  return false
}

/** By inode. */
export function readSockets(pid: number): Map<string, TcpSocket> {
  const sockets = new Map<string, TcpSocket>()
  for (const [local, remote, state, inode] of readRows(pid)) {
    sockets.set(inode, {
      local: decode(local),
      remote: decode(remote),
      established: !WITHOUT_PEER.has(state),
    })
  }
  return sockets
}

/** Whether a table of the kernel's (`/proc/net/tcp`) has somebody who listens on a port. */
export function listensIn(table: string, port: number): boolean {
  for (const [local, , state] of rowsIn(table.split('\n'))) {
    if (state === LISTEN && portOf(local) === port) return true
  }
  return false
}

type Row = [local: string, remote: string, state: string, inode: string]

function* rowsIn(lines: readonly string[]): Generator<Row> {
  for (const line of lines) {
    const [number, local, remote, state, , , , , , inode] = line.trim().split(/\s+/)
    if (number === 'sl' || local === undefined || remote === undefined) continue
    if (state !== undefined && inode !== undefined) yield [local, remote, state, inode]
  }
}

/** The kernel looks through all connections of the machine at each read, so that a caller who knows enough had better stop. */
function* readRows(pid: number): Generator<Row> {
  const buffer = Buffer.allocUnsafe(LIST)
  for (const name of ['tcp', 'tcp6']) {
    let fd
    try {
      fd = openSync(`/proc/${pid}/net/${name}`, 'r')
    } catch {
      continue // a kernel without IPv6
    }
    try {
      let rest = ''
      for (let size; (size = readSync(fd, buffer, 0, LIST, null)) > 0;) {
        const lines = (rest + buffer.toString('latin1', 0, size)).split('\n')
        rest = lines.pop() ?? ''
        yield* rowsIn(lines)
      }
    } finally {
      closeSync(fd)
    }
  }
}

/**
 * A socket whose peer is not part of the program.
 *
 * @param alone whether the network is the sandbox's own: its loopback then leads nowhere else
 */
export function findOutside(sockets: readonly TcpSocket[], alone: boolean): TcpSocket | null {
  const inside = new Set(sockets.map(({ local, remote }) => `${local} ${remote}`))
  const leaves = (socket: TcpSocket) =>
    socket.established &&
    !(alone && /^(127\.|\[::1\]|\[::ffff:127\.)/.test(socket.remote)) &&
    !inside.has(`${socket.remote} ${socket.local}`)
  return sockets.find(leaves) ?? null
}

function portOf(text: string): number {
  return Number.parseInt(text.split(':')[1] ?? '', 16)
}

/** `0100007F:1F90` and its long form, whose words are in the order of this machine's bytes (little endian). */
function decode(text: string): string {
  const [address = '', port = '0'] = text.split(':')
  const bytes = (address.match(/.{8}/g) ?? []).flatMap((word) => (word.match(/../g) ?? []).reverse())
  const numbers = bytes.map((byte) => Number.parseInt(byte, 16))
  const end = Number.parseInt(port, 16)
  if (numbers.length === 4) return `${numbers.join('.')}:${end}`
  if (numbers.slice(0, 12).join() === '0,0,0,0,0,0,0,0,0,0,255,255')
    return `[::ffff:${numbers.slice(12).join('.')}]:${end}`
  const groups = Array.from({ length: 8 }, (_, i) =>
    (((numbers[2 * i] ?? 0) << 8) | (numbers[2 * i + 1] ?? 0)).toString(16),
  )
  const plain = groups.join(':')
  return `[${plain === '0:0:0:0:0:0:0:1' ? '::1' : plain}]:${end}`
}
