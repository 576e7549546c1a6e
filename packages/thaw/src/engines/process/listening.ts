/** Whether a program listens on a TCP port. */
import { readdirSync, readlinkSync } from 'node:fs'
import type { ProcessBranch } from './branch.js'
import { treeOf } from './inspect.js'
import { readListening } from './sockets.js'

export function isListening(branch: ProcessBranch, port: number): boolean {
  const inodes = readListening(branch.root, port)
  if (inodes.size === 0) return false
  // In a network that is shared, somebody else may listen there.
  return treeOf(branch.root).some((pid) => [...openSockets(pid)].some((inode) => inodes.has(inode)))
}

function* openSockets(pid: number): Generator<string> {
  const directory = `/proc/${pid}/fd`
  try {
    for (const fd of readdirSync(directory)) {
      const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`${directory}/${fd}`))?.[1]
      if (inode !== undefined) yield inode
    }
  } catch {
    // It has ended meanwhile.
  }
}
