/** What the processes of a program hold, read from /proc: what a checkpoint cannot hold is found before any harm. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { ThawError } from '../../system/index.js'
import { findOutside, readSockets, type TcpSocket } from './sockets.js'

export interface OpenFile {
  /** As the program sees it. */
  path: string
  /** Of a process that has it open, as seen from here. */
  pid: number
  fd: number
}

export interface Tree {
  pids: number[]
  /** Regular files open for writing; each once. */
  written: OpenFile[]
}

/** How connections to the outside are to be taken; null: not at all. */
export type Tcp = 'keep' | 'close' | null

/** What a descriptor's link begins with, and what to call it. */
const FOREIGN: readonly (readonly [RegExp, string, string?])[] = [
  [
    /^anon_inode:\[io_uring\]/,
    'an io_uring ring',
    'Have the program do without (for Node: UV_USE_IO_URING=0), then start it again.',
  ],
  [/^anon_inode:\[?perf_event/, 'a performance counter'],
  [/^anon_inode:\[?userfaultfd/, 'a userfaultfd'],
  [/^anon_inode:\[?fanotify/, 'a fanotify watch'],
  [/^anon_inode:\[?bpf/, 'a BPF object'],
  [/^anon_inode:\[?kvm/, 'a virtual machine'],
  [/^anon_inode:\[?seccomp notify/, 'a seccomp listener'],
  [/^anon_inode:\[?landlock/, 'a Landlock rule set'],
  [
    /^\/dev\/(nvidia|dri|kfd|accel)/,
    'a GPU',
    'Have the program close the GPU first; its memory is not in reach.',
  ],
  [/^\/dev\/(?!null$|zero$|full$|random$|urandom$|tty$|console$|ptmx$|pts\/|shm\/|mqueue\/)/, 'a device'],
]
const NAMESPACES = ['mnt', 'net', 'user', 'cgroup', 'pid'] as const

/**
 * Looks for what a checkpoint cannot hold.
 *
 * @param init PID 1 of its sandbox, as seen from here
 * @param alone whether the sandbox has a network of its own
 * @throws ThawError NOT_COPYABLE, OUTSIDE_CONNECTION naming the process and what it holds
 */
export function inspectTree(init: number, root: number, tcp: Tcp, alone: boolean): void {
  const home = namespacesOf(init)
  let sockets: Map<string, TcpSocket> | null = null
  const held = new Map<TcpSocket, { pid: number; fd: string }>()
  for (const pid of treeOf(root)) {
    inspectTask(pid, home)
    for (const { fd, link } of descriptors(pid)) {
      refuseForeign(pid, fd, link)
      const inode = /^socket:\[(\d+)\]$/.exec(link)?.[1]
      if (inode === undefined || tcp !== null) continue
      sockets ??= readSockets(init)
      const socket = sockets.get(inode)
      if (socket !== undefined) held.set(socket, { pid, fd })
    }
  }
  const outside = findOutside([...held.keys()], alone)
  if (outside === null) return
  const { pid, fd } = held.get(outside) as { pid: number; fd: string }
  throw new ThawError(
    'OUTSIDE_CONNECTION',
    `${named(pid)} has a connection from ${outside.local} to ${outside.remote} (descriptor ${fd}).`,
  )
}

/**
 * Prerequisite: the tree stands still.
 *
 * @throws ThawError CHECKPOINT_REFUSED for what can be copied at most moments, but not at this one
 */
export function readTree(root: number): Tree {
  const pids = treeOf(root)
  const written = new Map<string, OpenFile>()
  for (const pid of pids) {
    for (const { fd, link } of descriptors(pid)) {
      if (link === 'anon_inode:[timerfd]') refuseTicking(pid, fd)
      if (link.startsWith('/') && !link.startsWith('/dev/') && !written.has(link) && isWritten(pid, fd))
        written.set(link, { path: link, pid, fd: Number(fd) })
    }
  }
  return { pids, written: [...written.values()] }
}

/** criu restores a periodic timer whose ticks were not read as one that never fires again, and says nothing. */
function refuseTicking(pid: number, fd: string): void {
  const about = textOf(`/proc/${pid}/fdinfo/${fd}`) ?? ''
  if (!/^ticks: [1-9]/m.test(about) || /^it_interval: \(0, 0\)/m.test(about)) return
  throw new ThawError(
    'CHECKPOINT_REFUSED',
    `${named(pid)} has a periodic timer (descriptor ${fd}) whose last ticks it has not read.`,
    { hint: 'Try again in a moment.' },
  )
}

/** A process and all its descendants, as seen from here. */
export function treeOf(root: number): number[] {
  const pids = [root]
  for (let at = 0; at < pids.length; at++) {
    for (const task of entries(`/proc/${pids[at]}/task`)) {
      const children = textOf(`/proc/${pids[at]}/task/${task}/children`)?.trim() ?? ''
      if (children !== '') pids.push(...children.split(/\s+/).map(Number))
    }
  }
  return pids
}

function descriptors(pid: number): { fd: string; link: string }[] {
  return entries(`/proc/${pid}/fd`).flatMap((fd) => {
    const link = linkOf(`/proc/${pid}/fd/${fd}`)
    return link === null ? [] : [{ fd, link }]
  })
}

function inspectTask(pid: number, home: Map<string, string>): void {
  const status = textOf(`/proc/${pid}/status`)
  if (status === null || /^State:\s*[ZX]/m.test(status)) return
  for (const task of entries(`/proc/${pid}/task`)) {
    const tracer = /^TracerPid:\s*([1-9]\d*)/m.exec(textOf(`/proc/${pid}/task/${task}/status`) ?? '')?.[1]
    if (tracer === undefined) continue
    throw new ThawError(
      'NOT_COPYABLE',
      `${named(pid)} is traced by process ${tracer} (${commandOf(Number(tracer))}).`,
      {
        hint: 'End the debugger or tracer first.',
      },
    )
  }
  for (const name of NAMESPACES) {
    const own = linkOf(`/proc/${pid}/ns/${name}`)
    if (own === null || own === home.get(name)) continue
    throw new ThawError(
      'NOT_COPYABLE',
      `${named(pid)} has a ${name} namespace of its own, inside the sandbox.`,
      {
        hint: 'Programs that make containers or sandboxes themselves cannot be copied.',
      },
    )
  }
}

function refuseForeign(pid: number, fd: string, link: string): void {
  for (const [pattern, what, hint] of FOREIGN) {
    if (!pattern.test(link)) continue
    const about = link.startsWith('/') ? ` (${link})` : ''
    throw new ThawError('NOT_COPYABLE', `${named(pid)} has ${what}${about} open as descriptor ${fd}.`, {
      ...(hint === undefined ? {} : { hint }),
      details: { pid, descriptor: Number(fd), link },
    })
  }
}

function isWritten(pid: number, fd: string): boolean {
  const flags = /^flags:\s*(\d+)/m.exec(textOf(`/proc/${pid}/fdinfo/${fd}`) ?? '')?.[1]
  return flags !== undefined && (Number.parseInt(flags, 8) & 3) !== 0
}

function namespacesOf(pid: number): Map<string, string> {
  return new Map(NAMESPACES.map((name) => [name, linkOf(`/proc/${pid}/ns/${name}`) ?? '']))
}

function named(pid: number): string {
  const inner = /^NSpid:.*?(\d+)$/m.exec(textOf(`/proc/${pid}/status`) ?? '')?.[1] ?? '?'
  return `Process ${pid} (${commandOf(pid)}, ${inner} in its sandbox)`
}

function commandOf(pid: number): string {
  return textOf(`/proc/${pid}/comm`)?.trim() ?? 'gone'
}

/** What ends meanwhile holds nothing any more. */
function entries(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

function linkOf(path: string): string | null {
  try {
    return readlinkSync(path)
  } catch {
    return null
  }
}

function textOf(path: string): string | null {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return null
  }
}
