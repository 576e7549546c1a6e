import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'

let digest: string | undefined

/** Digest of what this processor can do: what ran on one with other features may not go on here. */
export function processorDigest(): string {
  if (digest === undefined) {
    const text = readFileSync('/proc/cpuinfo', 'latin1')
    const features = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(text)?.[1] ?? ''
    digest = createHash('sha256').update(features.split(' ').sort().join(' ')).digest('hex').slice(0, 16)
  }
  return digest
}
