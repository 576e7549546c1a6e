import type { ApiContext } from './context.js'
import type { Journal } from '../store/index.js'
import { ThawError } from '../system/index.js'

export type IdKind = 'run' | 'branch' | 'checkpoint'

const PREFIX: Record<IdKind, string> = { run: 'r_', branch: 'b_', checkpoint: 'c_' }

/**
 * The whole id for what a user typed: an id, a prefix that fits nothing else (with or without its `r_`), `last` for the
 * run that was used last (of checkpoints: for the last stop), or a checkpoint's name (the latest of that name).
 *
 * @throws ThawError RUN_NOT_FOUND or CHECKPOINT_NOT_FOUND naming the nearest ids, AMBIGUOUS_ID naming those that fit
 */
export function resolveId(journal: Journal, given: string, kinds: readonly IdKind[]): string {
  if (given === 'last' && kinds.includes('run')) {
    const run = journal.listRuns()[0]
    if (run === undefined)
      throw new ThawError('RUN_NOT_FOUND', 'There is no run yet.', { hint: 'Try `thaw run CMD`.' })
    return run.id
  }
  if (given === 'last' && kinds.includes('checkpoint')) {
    const stop = journal.lastStop()
    if (stop === undefined) {
      throw new ThawError('CHECKPOINT_NOT_FOUND', 'No program has stopped yet.', {
        hint: 'Try `thaw run --break PLACE CMD`.',
      })
    }
    // Going on from another program than the one in mind would do things.
    const [last] = journal.listRuns()
    if (last !== undefined && last.id !== journal.getCheckpoint(stop)?.run) {
      throw new ThawError('CHECKPOINT_NOT_FOUND', `${last.command.join(' ')} has not stopped.`, {
        hint: `Another one has: thaw resume ${stop}.`,
      })
    }
    return stop
  }
  const prefixes = kinds.map((kind) => PREFIX[kind])
  const typed = prefixes.some((prefix) => given.startsWith(prefix)) || /^[rbc]_/.test(given)
  const tries = typed ? [given] : prefixes.map((prefix) => prefix + given)
  const fitting = tries
    .flatMap((text) => journal.findIds(text))
    .filter((id) => prefixes.some((prefix) => id.startsWith(prefix)))
  const exact = fitting.find((id) => tries.includes(id))
  if (exact !== undefined) return exact
  if (fitting.length === 1) return fitting[0] as string
  if (fitting.length > 1) {
    throw new ThawError('AMBIGUOUS_ID', `${given} fits ${fitting.slice(0, 5).join(', ')}.`, {
      details: { candidates: fitting },
    })
  }
  const named = kinds.includes('checkpoint') ? journal.findNamed(given) : undefined
  if (named !== undefined) return named
  const near = nearest(journal, tries, prefixes)
  const isCheckpoint = kinds.length === 1 && kinds[0] === 'checkpoint'
  const said = near.length === 0 ? (isCheckpoint ? latestOf(journal) : '') : ` Nearest: ${near.join(', ')}.`
  throw new ThawError(
    isCheckpoint ? 'CHECKPOINT_NOT_FOUND' : 'RUN_NOT_FOUND',
    `There is no ${kinds.join(' or ')} ${given}.${said}`,
    { details: { nearest: near } },
  )
}

/** Checkpoints of the run that was used last and has any, for who has mistaken one for another. */
function latestOf(journal: Journal): string {
  for (const { id, command } of journal.listRuns()) {
    const parked = journal.listCheckpoints(id).filter(({ state }) => state === 'parked')
    if (parked.length === 0) continue
    const last = parked.slice(-3).map((one) => one.id)
    return ` The last ones of ${command.join(' ').slice(0, 60)}: ${last.join(', ')}.`
  }
  return ''
}

/** Ids at most that are offered of each kind. */
const OFFERED = 50

/** Ids that begin with `prefix`, for people who are typing one. */
export function listIds(
  journal: Journal,
  prefix: string,
  kinds: readonly string[],
): { id: string; about: string }[] {
  return (Object.keys(PREFIX) as IdKind[])
    .filter((kind) => kinds.includes(kind))
    .flatMap((kind) => {
      const start = prefix.length > PREFIX[kind].length ? prefix : PREFIX[kind]
      if (!start.startsWith(prefix) || !start.startsWith(PREFIX[kind])) return []
      const ids =
        kind === 'run' && start === PREFIX.run
          ? journal.listRuns().map((run) => run.id)
          : journal.findIds(start, OFFERED)
      return ids.slice(0, OFFERED).map((id) => ({ id, about: about(journal, id) }))
    })
}

interface Named {
  id: string
  name: string | null
  about: string
}

const NAMED: Record<string, (rooms: Pick<ApiContext, 'products' | 'services'>) => Named[]> = {
  instance: ({ products: { instances } }) =>
    instances.list().map(({ id, name, state, image }) => ({ id, name, about: `${state}, of ${image}` })),
  'instance-checkpoint': ({ products: { instances } }) =>
    instances.checkpoints(null).map(({ id, name, image }) => ({ id, name, about: `of ${image}` })),
  image: ({ products: { images } }) =>
    images.list().map(({ id, name, command }) => ({ id, name, about: command.join(' ').slice(0, 60) })),
  snapshot: ({ products: { snapshots } }) =>
    snapshots.list().map(({ id, name, state, image }) => ({ id, name, about: `${state}, of ${image}` })),
  pool: ({ products: { pools } }) =>
    pools
      .list()
      .map(({ id, name, ready, size, image }) => ({ id, name, about: `${ready} of ${size}, of ${image}` })),
  service: ({ services }) =>
    services.list().map(({ name, state, source }) => ({ id: name, name, about: `${state}, ${source.file}` })),
}

/** What people call services, instances and what they are made of: names that begin with `prefix`, else ids that do. */
export function listNames(
  rooms: Pick<ApiContext, 'products' | 'services'>,
  prefix: string,
  kinds: readonly string[],
): { id: string; about: string }[] {
  return kinds.flatMap((kind) => {
    const named = Object.hasOwn(NAMED, kind) ? (NAMED[kind]?.(rooms) ?? []) : []
    return named
      .flatMap(({ id, name, about }) => {
        const word = [name ?? id, id].find((one) => one.startsWith(prefix))
        return word === undefined ? [] : [{ id: word, about }]
      })
      .slice(0, OFFERED)
  })
}

function about(journal: Journal, id: string): string {
  const checkpoint = journal.getCheckpoint(id)
  if (checkpoint !== undefined) {
    const { unit, file, line, state } = checkpoint
    return `before ${unit ?? 'the start'} (${file ?? ''}:${line ?? ''}), ${state}`
  }
  const branch = journal.getBranch(id)
  const run = journal.getRun(branch?.run ?? id)
  const command = run?.command.join(' ').slice(0, 60) ?? ''
  return branch === undefined ? command : `${branch.state}: ${command}`
}

/** Characters behind the `r_` that an id must share to be offered for another. */
const SHARED = 3

function nearest(journal: Journal, tries: readonly string[], prefixes: readonly string[]): string[] {
  for (let cut = 1; ; cut++) {
    const shorter = tries
      .map((text) => text.slice(0, text.length - cut))
      .filter((text) =>
        prefixes.some((prefix) => text.startsWith(prefix) && text.length >= prefix.length + SHARED),
      )
    if (shorter.length === 0) return []
    const found = shorter.flatMap((text) => journal.findIds(text, 3))
    if (found.length > 0) return found.slice(0, 3)
  }
}

/** The branch itself, or the latest of a run. @throws ThawError RUN_NOT_FOUND when there is none yet */
export function branchOf(journal: Journal, id: string): string {
  if (id.startsWith('b_')) return id
  const last = journal.listBranches(id).at(-1)
  if (last === undefined) throw new ThawError('RUN_NOT_FOUND', `The run ${id} has no branch yet.`)
  return last.id
}
