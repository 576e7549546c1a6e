// Draws a number for every line that it reads. Math.random() and node:crypto keep their state in memory, and so draw the
// same in all clones, until their next seed: what must differ comes from the kernel in a new branch.
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'
import { createInterface } from 'node:readline'

function begun() {
  try {
    return readFileSync('/run/thaw/branch', 'utf8')
  } catch {
    return ''
  }
}

function fromKernel() {
  const file = openSync('/dev/urandom', 'r')
  const bytes = Buffer.alloc(6)
  readSync(file, bytes)
  closeSync(file)
  return bytes.readUIntBE(0, 6) / 2 ** 48
}

const branch = begun()
console.log('ready')
for await (const _ of createInterface({ input: process.stdin })) {
  console.log(`drew ${begun() === branch ? Math.random() : fromKernel()}`)
}
