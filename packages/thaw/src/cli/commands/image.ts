import type { ImageDefinitionInput } from '@thaw/protocol'
import { ThawError } from '@thaw/protocol/errors'
import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { ask } from '../client.js'
import { print } from '../print.js'
import { renderImage, renderImages } from '../render/instances.js'

interface Json {
  json?: boolean
}

/** Makes an image of a definition; a path in it counts from the file. */
export async function create(file: string, { json }: Json): Promise<number> {
  const definition = readDefinition(file)
  const whole =
    definition.kind === 'packages'
      ? definition
      : { ...definition, path: resolve(dirname(resolve(file)), definition.path) }
  const made = await ask((client) => client.images.create(whole))
  await print(made, json, renderImage)
  return 0
}

/** Imports a root file system under a name. */
export async function importImage(
  source: string,
  command: string[],
  options: Json & {
    name: string
    reference?: string
    user?: string
    port?: string[]
    engine?: 'process' | 'vm'
  },
): Promise<number> {
  const { name, reference, user, port = [], engine, json } = options
  const made = await ask((client) =>
    client.images.create({
      kind: 'rootfs',
      name,
      path: resolve(source),
      ...(command.length === 0 ? {} : { command }),
      ...(reference === undefined ? {} : { reference }),
      ...(user === undefined ? {} : { user }),
      ...(engine === undefined ? {} : { engine }),
      ...(port.length === 0 ? {} : { ports: port.map(Number) }),
    }),
  )
  await print(made, json, renderImage)
  return 0
}

/** Builds a root file system of packages under a name. */
export async function build(
  name: string,
  command: string[],
  options: Json & { engine?: 'process' | 'vm'; package?: string[]; memory?: string; port?: string[] },
): Promise<number> {
  const { engine = 'vm', package: packages = [], memory, port = [], json } = options
  if (json !== true)
    process.stderr.write('thaw: building; what is not here yet is fetched, which takes minutes once\n')
  const made = await ask((client) =>
    client.images.create({
      kind: 'packages',
      name,
      packages,
      command,
      engine,
      ...(memory === undefined ? {} : { limits: { memory } }),
      ...(port.length === 0 ? {} : { ports: port.map(Number) }),
    }),
  )
  await print(made, json, renderImage)
  return 0
}

export async function ls({ json }: Json): Promise<number> {
  await print(await ask((client) => client.images.list()), json, renderImages)
  return 0
}

export async function show(id: string, { json }: Json): Promise<number> {
  await print(await ask((client) => client.images.get(id)), json, renderImage)
  return 0
}

export async function rm(ids: string[], { json }: Json): Promise<number> {
  const removed: string[] = []
  for (const id of ids) removed.push((await ask((client) => client.images.remove(id))).name)
  await print({ removed }, json, () => removed.map((name) => `removed ${name}\n`).join(''))
  return 0
}

function readDefinition(file: string): ImageDefinitionInput {
  let text
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new ThawError(
      'FILE_UNREADABLE',
      `${file} cannot be read (${(error as NodeJS.ErrnoException).code}).`,
    )
  }
  try {
    const value = JSON.parse(text) as ImageDefinitionInput
    if (value.kind === 'packages' || typeof value.path === 'string') return value
  } catch (error) {
    throw new ThawError('INVALID_REQUEST', `${file} is no JSON: ${(error as Error).message}.`, {
      cause: error,
    })
  }
  throw new ThawError('INVALID_REQUEST', `${file} says no path.`, { hint: 'See docs/images.md.' })
}
