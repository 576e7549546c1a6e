import type { Image, ImageDefinitionInput, UploadDefinitionInput } from '@thaw/protocol'
import { ThawError } from '@thaw/protocol/errors'
import { createHash } from 'node:crypto'
import { createReadStream, readFileSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { askProducts as ask, remoteTransport } from '../client.js'
import { print } from '../print.js'
import { renderImage, renderImages } from '../render/instances.js'

interface Json {
  json?: boolean
}

/** Makes an image of a definition; a path in it counts from the file. */
export async function create(file: string, { json }: Json): Promise<number> {
  const definition = readDefinition(file)
  const whole =
    definition.kind === 'packages' || definition.kind === 'docker'
      ? definition
      : { ...definition, path: resolve(dirname(resolve(file)), definition.path) }
  const made = await ask((client) => client.images.create(whole))
  await print(made, json, renderImage)
  return 0
}

/**
 * Imports a root file system under a name.
 *
 * @param source a path; `-`: an archive on stdin. Sent where the daemon is another machine's.
 */
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
  const definition = {
    name,
    ...(command.length === 0 ? {} : { command }),
    ...(reference === undefined ? {} : { reference }),
    ...(user === undefined ? {} : { user }),
    ...(engine === undefined ? {} : { engine }),
    ...(port.length === 0 ? {} : { ports: port.map(Number) }),
  }
  const isRemote = (await remoteTransport()) !== null
  const made =
    source === '-' || isRemote
      ? await send(definition, source)
      : await ask((client) => client.images.create({ kind: 'rootfs', path: resolve(source), ...definition }))
  await print(made, json, renderImage)
  return 0
}

/** Builds a root file system of packages, or the machine that runs containers, under a name. */
export async function build(
  name: string,
  command: string[],
  options: Json & {
    docker?: boolean
    engine?: 'process' | 'vm'
    package?: string[]
    memory?: string
    port?: string[]
  },
): Promise<number> {
  const { docker = false, engine = 'vm', package: packages = [], memory, port = [], json } = options
  if (docker !== (command.length === 0)) {
    throw new ThawError('USAGE', docker ? 'With --docker there is no command.' : 'There is no command.', {
      hint: 'thaw image build NAME COMMAND..., or thaw image build NAME --docker',
    })
  }
  const limits = memory === undefined ? {} : { limits: { memory } }
  if (json !== true)
    process.stderr.write('thaw: building; what is not here yet is fetched, which takes minutes once\n')
  const made = await ask((client) =>
    client.images.create(
      docker
        ? { kind: 'docker', name, ...limits }
        : {
            kind: 'packages',
            name,
            packages,
            command,
            engine,
            ...limits,
            ...(port.length === 0 ? {} : { ports: port.map(Number) }),
          },
    ),
  )
  await print(made, json, renderImage)
  return 0
}

async function send(definition: UploadDefinitionInput, source: string): Promise<Image> {
  // What has been read of it cannot be sent to a daemon that is started only then.
  await ask((client) => client.daemon.health())
  if (source === '-') return ask((client) => client.images.upload(definition, process.stdin))
  if (statSync(source, { throwIfNoEntry: false })?.isDirectory() === true) {
    throw new ThawError('USAGE', `${source} is a directory, and the daemon is on another machine.`, {
      hint: `Send it as an archive: tar -C ${source} -c . | thaw image import - --name ${definition.name}`,
    })
  }
  const hash = createHash('sha256')
  try {
    for await (const chunk of createReadStream(source)) hash.update(chunk as Uint8Array)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    throw new ThawError('FILE_UNREADABLE', `${source} cannot be read (${code}).`, { cause: error })
  }
  const sha256 = hash.digest('hex')
  return ask((client) => client.images.upload(definition, createReadStream(source), { sha256 }))
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
    if (value.kind === 'packages' || value.kind === 'docker' || typeof value.path === 'string') return value
  } catch (error) {
    throw new ThawError('INVALID_REQUEST', `${file} is no JSON: ${(error as Error).message}.`, {
      cause: error,
    })
  }
  throw new ThawError('INVALID_REQUEST', `${file} says no path.`, { hint: 'See docs/images.md.' })
}
