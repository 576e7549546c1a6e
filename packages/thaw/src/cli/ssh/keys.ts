/** Keys of the SSH server: its own, and those that may come in. */
import { timingSafeEqual } from 'node:crypto'
import { mkdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { ThawError } from '@thaw/protocol/errors'
import ssh2, { type ParsedKey } from 'ssh2'
import { writeFileAtomic } from '../../system/atomic.js'

/** Who else may write here decides who comes in, or what comes in is taken for. */
const OTHERS_WRITE = 0o022
const OTHERS = 0o077

/** The private key of this server, made at its first start. @throws ThawError STATE_UNWRITABLE */
export async function hostKey(state: string): Promise<string> {
  const directory = join(state, 'ssh')
  const file = join(directory, 'host_key')
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const stat = statSync(file, { throwIfNoEntry: false })
  if (stat === undefined) {
    await writeFileAtomic(file, ssh2.utils.generateKeyPairSync('ed25519').private)
  } else if ((stat.mode & OTHERS) !== 0 || stat.uid !== process.getuid?.()) {
    throw new ThawError('STATE_UNWRITABLE', `${file} can be read by others, or is another's.`, {
      hint: 'Remove it, and a new one is made; who has connected before is then told of that.',
    })
  }
  return readFileSync(file, 'utf8')
}

/**
 * Keys of an authorized_keys file, as it is now.
 *
 * @throws ThawError FILE_UNREADABLE, also where others may write to it
 */
export function authorizedKeys(file: string): { keys: ParsedKey[]; passedOver: string[] } {
  let text
  try {
    const stat = statSync(file)
    const mine = stat.uid === process.getuid?.() || stat.uid === 0
    if ((stat.mode & OTHERS_WRITE) !== 0 || !mine) {
      throw new ThawError('FILE_UNREADABLE', `${file} can be written by others.`, {
        hint: `chmod go-w ${file}`,
      })
    }
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if (error instanceof ThawError) throw error
    throw new ThawError('FILE_UNREADABLE', `${file} cannot be read.`, {
      cause: error,
      hint: 'It names the public keys that may come in, one a line; --keys names another file.',
    })
  }
  const keys: ParsedKey[] = []
  const passedOver: string[] = []
  for (const [i, line] of text.split('\n').entries()) {
    const word = line.trim()
    if (word === '' || word.startsWith('#')) continue
    // Options before a key restrict it: what they ask for is not kept here.
    const parsed = /^(?:ssh|ecdsa|sk)-/.test(word) ? ssh2.utils.parseKey(word) : new Error('it has options')
    if (parsed instanceof Error) passedOver.push(`line ${i + 1} of ${file}: ${parsed.message}`)
    else keys.push(parsed)
  }
  return { keys, passedOver }
}

/** Which of the keys is meant. */
export function findKey(keys: readonly ParsedKey[], algo: string, data: Buffer): ParsedKey | undefined {
  return keys.find((one) => {
    const known = one.getPublicSSH()
    return one.type === algo && known.length === data.length && timingSafeEqual(known, data)
  })
}
