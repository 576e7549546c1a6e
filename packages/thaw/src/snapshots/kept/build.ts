/** How a snapshot is made: a temporary instance is started, and copied once it is ready. */
import type { BuildStep, Image } from '@thaw/protocol'
import type { ProcessImage } from '../../engines/process/image.js'
import { ThawError, type Scope } from '../../system/index.js'
import type { Live, Lives } from '../lives/live.js'
import { digestAll, measure, type Digests, type Sizes } from './integrity.js'

export interface BuildSpec {
  /** Of the temporary instance. */
  id: string
  image: Image
  /** A parent's copy; null: it is started. */
  from: ProcessImage | null
  /** Run in it once it is ready. */
  prepare: readonly string[] | null
}

export interface Built {
  copy: ProcessImage
  digests: Digests
  sizes: Sizes
  /** How long it took until it could be copied. */
  seconds: number
}

/**
 * On failure nothing is left, of the instance nor of the copy.
 *
 * @param tell called when a step begins
 * @throws ThawError naming the step that failed
 */
export async function build(
  lives: Lives,
  spec: BuildSpec,
  tell: (step: BuildStep, text: string) => void,
  scope: Scope,
): Promise<Built> {
  const { image, from, prepare } = spec
  let step: BuildStep = 'start'
  const enter = (next: BuildStep, text: string) => {
    step = next
    tell(next, text)
  }
  let live: Live | null = null
  let copy: ProcessImage | null = null
  try {
    const began = performance.now()
    // A neutral name; who is restored from it gets one of its own.
    const { limits } = image
    const own = { id: spec.id, hostname: 'snapshot', env: {}, network: 'private' as const, limits }
    enter('start', from === null ? `starting ${image.command.join(' ')}` : 'restoring the parent')
    live = from === null ? await lives.start(image, own, scope) : await lives.restore(image, from, own, scope)
    enter('wait', image.readiness === null ? 'it says nothing of its readiness' : 'waiting until it is ready')
    await live.ready(image.readiness, from !== null, scope)
    if (prepare !== null) await live.run(prepare, scope)
    const seconds = (performance.now() - began) / 1000
    enter('verify', `ready after ${seconds.toFixed(2)} s; asking it again`)
    await live.ready(image.readiness, true, scope)
    enter('network', 'it has no address and no published port; those come with a restore')
    enter('pause', 'letting it stand still')
    copy = await lives.copy(live, () => enter('checkpoint', 'copying its processes and files'), scope)
    enter('store', 'reading what was written')
    const digests = await digestAll(copy.directory, scope)
    const sizes = measure(copy.directory, Object.keys(digests))
    enter('destroy', 'removing the temporary instance')
    await live[Symbol.asyncDispose]()
    live = null
    return { copy, digests, sizes, seconds }
  } catch (error) {
    await copy?.remove()
    throw atStep(step, error)
  } finally {
    await live?.[Symbol.asyncDispose]()
  }
}

function atStep(step: BuildStep, error: unknown): ThawError {
  const { code, message, hint } = ThawError.from(error)
  if (code === 'CANCELLED' || code === 'DISK_FULL') return ThawError.from(error)
  return new ThawError('SNAPSHOT_FAILED', `At the step ${step}: ${message}`, { cause: error, hint })
}
