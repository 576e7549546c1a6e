/** Whether a program listens on a TCP port. */
import { readdirSync, readlinkSync } from 'node:fs'
import { treeOf } from './inspect.js'
import { readListening } from './sockets.js'

/** @param root of the program's processes, as seen from here */
export function isListening(root: number, port: number): boolean {
  const inodes = readListening(root, port)
  if (inodes.size === 0) return false
  // In a network that is shared, somebody else may listen there.
  return treeOf(root).some((pid) => [...openSockets(pid)].some((inode) => inodes.has(inode)))
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
