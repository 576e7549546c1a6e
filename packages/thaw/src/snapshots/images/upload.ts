/** An archive as it arrives, on its way to a file. */
import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { checkScope, ThawError, type Scope } from '../../system/index.js'

export interface Expected {
  /** Most bytes. */
  most: number
  /** SHA-256 in hex; undefined: whatever comes. */
  sha256: string | undefined
}

/**
 * Writes what arrives into a new file. On failure the file is the caller's to remove.
 *
 * @throws ThawError PAYLOAD_TOO_LARGE, IMAGE_REFUSED when it is something else than expected, DISK_FULL, CANCELLED
 */
export async function receive(
  content: AsyncIterable<Uint8Array>,
  file: string,
  { most, sha256 }: Expected,
  scope: Scope,
): Promise<void> {
  const hash = createHash('sha256')
  let bytes = 0
  const counted = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of content) {
      checkScope(scope, 'receiving an archive')
      bytes += chunk.length
      if (bytes > most) throw tooLarge(most)
      hash.update(chunk)
      yield chunk
    }
  }
  try {
    await pipeline(counted(), createWriteStream(file, { flags: 'wx', mode: 0o600 }), { signal: scope.signal })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (error instanceof ThawError) throw error
    if (code === 'ENOSPC' || code === 'EDQUOT') {
      throw new ThawError('DISK_FULL', 'The disk is full; nothing of the archive is kept.', { cause: error })
    }
    throw new ThawError('CANCELLED', `The archive broke off after ${bytes} bytes.`, { cause: error })
  }
  const digest = hash.digest('hex')
  if (sha256 !== undefined && sha256.toLowerCase() !== digest) {
    throw new ThawError(
      'IMAGE_REFUSED',
      `What arrived has the SHA-256 ${digest}, not ${sha256.toLowerCase()}.`,
    )
  }
}

export function tooLarge(most: number): ThawError {
  return new ThawError('PAYLOAD_TOO_LARGE', `The archive is larger than ${most} bytes.`, {
    hint: 'The setting upload_limit of the daemon says how much may be sent; or import a file of its machine.',
  })
}
