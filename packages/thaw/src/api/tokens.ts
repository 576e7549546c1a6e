/** Tokens for calls over TCP. Only digests are kept: what was shown once cannot be read back. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Scope, type NewToken, type Token, type TokenRequest } from '@thaw/protocol'
import { z } from 'zod'
import { ThawError, writeFileAtomic } from '../system/index.js'

const Kept = z.strictObject({
  id: z.string(),
  name: z.string(),
  scope: Scope,
  created_at: z.string(),
  expires_at: z.string().nullable(),
  /** SHA-256 in hex: the secret is random, so that nothing slower is needed. */
  digest: z.string(),
})
type Kept = z.infer<typeof Kept>

/** What the file may hold at most, so that a caller with the scope cannot fill the disk. */
const MOST = 1000

const digestOf = (secret: string) => createHash('sha256').update(secret).digest('hex')

export class Tokens {
  readonly #file: string
  #kept: readonly Kept[]
  #writing: Promise<unknown> = Promise.resolve()

  /** @throws ThawError JOURNAL_BROKEN: without the list nobody could be told from a stranger */
  constructor(file: string) {
    this.#file = file
    this.#kept = read(file)
  }

  list(): Token[] {
    return this.#kept.map(shown)
  }

  async create({ name, scope, expires_in }: TokenRequest): Promise<NewToken> {
    if (this.#kept.length >= MOST) {
      throw new ThawError('TOO_MANY_REQUESTS', `There are ${MOST} tokens already.`, {
        hint: 'Remove some: `thaw daemon token rm ID`.',
      })
    }
    const id = `t_${randomBytes(6).toString('hex')}`
    const secret = randomBytes(32).toString('base64url')
    const now = Date.now()
    const kept: Kept = {
      id,
      name,
      scope,
      created_at: new Date(now).toISOString(),
      expires_at: expires_in === null ? null : new Date(now + expires_in * 1000).toISOString(),
      digest: digestOf(secret),
    }
    await this.#change((all) => [...all, kept])
    return { ...shown(kept), token: `thaw_${id.slice(2)}_${secret}` }
  }

  /** @throws ThawError NOT_FOUND */
  async remove(id: string): Promise<void> {
    if (!this.#kept.some((one) => one.id === id)) {
      throw new ThawError('NOT_FOUND', `There is no token ${id}.`, {
        hint: '`thaw daemon token ls` lists them.',
      })
    }
    await this.#change((all) => all.filter((one) => one.id !== id))
  }

  /** The token that somebody shows; undefined when it is none, or has ended. */
  find(text: string): Token | undefined {
    const [, id, secret] = /^thaw_([0-9a-f]{12})_([\w-]{43})$/.exec(text) ?? []
    const kept = this.#kept.find((one) => one.id === `t_${id}`)
    if (kept === undefined || secret === undefined) return undefined
    if (!timingSafeEqual(Buffer.from(kept.digest, 'hex'), Buffer.from(digestOf(secret), 'hex')))
      return undefined
    if (kept.expires_at !== null && Date.parse(kept.expires_at) <= Date.now()) return undefined
    return shown(kept)
  }

  /** One change after the other; a token holds once it is on disk. */
  async #change(change: (all: readonly Kept[]) => Kept[]): Promise<void> {
    const work = this.#writing.then(async () => {
      const changed = change(this.#kept)
      await writeFileAtomic(this.#file, `${JSON.stringify(changed, null, 2)}\n`)
      this.#kept = changed
    })
    this.#writing = work.catch(() => {})
    await work
  }
}

function shown({ digest: _digest, ...token }: Kept): Token {
  return token
}

function read(file: string): Kept[] {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
  try {
    return z.array(Kept).parse(JSON.parse(text))
  } catch (error) {
    throw new ThawError('JOURNAL_BROKEN', `${file} is not a list of tokens.`, {
      cause: error,
      hint: 'Move it away; tokens are then to be made anew.',
    })
  }
}
