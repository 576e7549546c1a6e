/** What a run's root file system is, by what the caller calls it. */
import { realpathSync, statSync } from 'node:fs'
import type { RootFiles, RunRequest } from '@thaw/protocol'
import { keyOf } from '../files/root.js'
import { PATH } from '../snapshots/images/images.js'
import { ThawError, type Scope } from '../system/index.js'
import type { ApiContext } from './context.js'

/** Variables that name places of this machine. */
const OF_THE_MACHINE = /^(PATH|HOME|TMPDIR|PYTHONHOME|LD_.*)$/

export interface Rooted {
  root: RootFiles | null
  env: Record<string, string>
  engine: RunRequest['engine']
}

/**
 * The root file system of a request, and what else is otherwise there.
 *
 * @throws ThawError IMAGE_NOT_FOUND, AMBIGUOUS_ID, DIRECTORY_GONE, INVALID_REQUEST, UNSUPPORTED
 */
export async function findRoot(
  { image, env, engine, cwd }: Pick<RunRequest, 'image' | 'env' | 'engine' | 'cwd'>,
  { products }: Pick<ApiContext, 'products'>,
  scope: Scope,
): Promise<Rooted> {
  if (image === null && engine !== 'vm') return { root: null, env, engine }
  if (engine === 'fork') {
    throw new ThawError('UNSUPPORTED', 'The fork engine knows no root file systems.', {
      hint: 'Leave --engine out: the process engine does.',
    })
  }
  if (cwd === '/') {
    throw new ThawError(
      'UNSUPPORTED',
      'The project is all of the machine, which cannot be shown in an image.',
      {
        hint: 'Start the command in the directory of a project.',
      },
    )
  }
  const kept = Object.entries(env).filter(([name]) => !OF_THE_MACHINE.test(name))
  const found =
    image === null
      ? { root: await products.machineRoot(scope), env: {} }
      : image.startsWith('/')
        ? await inDirectory(image, scope)
        : inImage(image, products)
  return {
    root: found.root,
    env: { ...Object.fromEntries(kept), PATH, HOME: '/root', ...found.env },
    engine: engine === 'vm' ? 'vm' : 'process',
  }
}

async function inDirectory(path: string, scope: Scope): Promise<Pick<Rooted, 'env'> & { root: RootFiles }> {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new ThawError('DIRECTORY_GONE', `${path} is no directory.`)
  const directory = realpathSync(path)
  if (directory === '/') throw new ThawError('INVALID_REQUEST', 'The root file system is the machine itself.')
  return { root: { directory, key: await keyOf(directory, scope) }, env: {} }
}

function inImage(
  name: string,
  { images }: ApiContext['products'],
): Pick<Rooted, 'env'> & { root: RootFiles } {
  const image = images.get(name)
  const directory = images.rootOf(image)
  if (directory === null) {
    throw new ThawError('INVALID_REQUEST', `${image.name} has no root file system of its own.`, {
      hint: 'Take an image that was imported from one (`thaw image import`), or a directory.',
    })
  }
  return { root: { directory, key: image.id }, env: image.env }
}
