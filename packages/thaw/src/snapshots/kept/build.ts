/** How a snapshot is made: a temporary instance is started, and copied once it is ready. */
import type { BuildStep, Image } from '@thaw/protocol'
import { ThawError, type Scope } from '../../system/index.js'
import { checkpointOf, type Copy } from '../instances/body.js'
import type { Bench } from '../instances/boot.js'
import { digestAll, measure, type Digests, type Sizes } from './integrity.js'
import { Temporary } from './temporary.js'

export interface BuildSpec {
  image: Image
  /** A parent's copy; null: it is started. */
  from: Copy | null
  /** Run in it once it is ready. */
  prepare: readonly string[] | null
}

export interface Built {
  copy: Copy
  digests: Digests
  sizes: Sizes
  /** How long it took until it could be copied. */
  seconds: number
}

/**
 * On failure nothing is left, of the instance nor of the copy.
 *
 * @param logs directory for what the temporary instance prints
 * @param tell called when a step begins
 * @throws ThawError naming the step that failed
 */
export async function build(
  bench: Bench,
  spec: BuildSpec,
  logs: string,
  tell: (step: BuildStep, text: string) => void,
  scope: Scope,
): Promise<Built> {
  const { image, from, prepare } = spec
  let step: BuildStep = 'start'
  const enter = (next: BuildStep, text: string) => {
    step = next
    tell(next, text)
  }
  let temporary: Temporary | null = null
  let copy: Copy | null = null
  try {
    const began = performance.now()
    enter('start', from === null ? `starting ${image.command.join(' ')}` : 'restoring the parent')
    const source = from === null ? { kind: 'cold' as const } : { kind: 'warm' as const, image: from }
    const booting = Temporary.boot(bench, image, source, logs, scope)
    enter('wait', image.readiness === null ? 'it says nothing of its readiness' : 'waiting until it is ready')
    temporary = await booting
    if (prepare !== null) await temporary.run(prepare, scope)
    const seconds = (performance.now() - began) / 1000
    enter('verify', `ready after ${seconds.toFixed(2)} s; asking it again`)
    await temporary.verify(scope)
    enter('network', 'nothing of it is published; a restore brings a name and ports')
    enter('pause', 'letting it stand still')
    const cut = () => enter('checkpoint', 'copying its processes and files')
    copy = await checkpointOf(bench, temporary.body, scope, { stop: true, cut })
    enter('store', 'reading what was written')
    const digests = await digestAll(copy.directory, scope)
    enter('destroy', 'removing the temporary instance')
    await temporary[Symbol.asyncDispose]()
    // Not before: what it shared with the copy is the copy's alone now.
    const sizes = measure(copy.directory, Object.keys(digests))
    return { copy, digests, sizes, seconds }
  } catch (error) {
    await temporary?.[Symbol.asyncDispose]()
    await copy?.remove()
    throw atStep(step, error)
  }
}

function atStep(step: BuildStep, error: unknown): ThawError {
  const { code, message, hint } = ThawError.from(error)
  if (code === 'CANCELLED' || code === 'DISK_FULL') return ThawError.from(error)
  return new ThawError('SNAPSHOT_FAILED', `At the step ${step}: ${message}`, { cause: error, hint })
}
