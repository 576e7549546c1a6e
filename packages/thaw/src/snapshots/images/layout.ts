/** Images of other tools: OCI layouts, and what `docker save` writes. */
import { createHash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { z } from 'zod'
import { ThawError } from '../../system/index.js'
import type { Expected } from './archive.js'
import { findFile } from '../../files/within.js'

/** A manifest or a configuration is a few kilobytes. */
const LARGEST_DOCUMENT = 8 * 1024 * 1024
const DEEPEST_INDEX = 4

export interface Layout {
  format: 'oci' | 'docker'
  /** Digest of the configuration. */
  digest: string
  config: ImageConfig
  layers: { file: string; expected: Expected }[]
}

const Digest = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'a sha256 digest')
const Descriptor = z.object({
  mediaType: z.string().optional(),
  digest: Digest,
  size: z.number().int().nonnegative(),
  annotations: z.record(z.string(), z.string()).nullish(),
  platform: z.object({ os: z.string(), architecture: z.string() }).nullish(),
})
type Descriptor = z.infer<typeof Descriptor>
const Index = z.object({ manifests: z.array(Descriptor) })
const Manifest = z.object({ config: Descriptor, layers: z.array(Descriptor) })
const DockerManifests = z.array(
  z.object({ Config: z.string(), RepoTags: z.array(z.string()).nullish(), Layers: z.array(z.string()) }),
)

/** What thaw uses of an image's configuration. */
export const ImageConfig = z.object({
  os: z.string().optional(),
  architecture: z.string().optional(),
  config: z
    .object({
      Env: z.array(z.string()).nullish(),
      Cmd: z.array(z.string()).nullish(),
      Entrypoint: z.array(z.string()).nullish(),
      WorkingDir: z.string().nullish(),
      User: z.string().nullish(),
      ExposedPorts: z.record(z.string(), z.unknown()).nullish(),
    })
    .nullish(),
  rootfs: z.object({ diff_ids: z.array(Digest) }),
})
export type ImageConfig = z.infer<typeof ImageConfig>

/** How others name the architectures of Node. */
const ARCHITECTURES: Record<string, string> = { x64: 'amd64', arm64: 'arm64' }

/** Names in a directory or archive that tell what it is. */
export const MARKS = { oci: 'oci-layout', docker: 'manifest.json' } as const

/**
 * Prerequisite: `root` is an OCI layout, or an unpacked archive of `docker save`.
 *
 * @param reference which image, where it holds several
 * @throws ThawError IMAGE_REFUSED, UNSUPPORTED
 */
export function readLayout(root: string, reference: string | null): Layout {
  const layout = findFile(root, MARKS.oci) === null ? readDocker(root, reference) : readOci(root, reference)
  const here = ARCHITECTURES[process.arch] ?? process.arch
  const { os = 'linux', architecture = here } = layout.config
  if (os !== 'linux' || architecture !== here) {
    throw new ThawError(
      'UNSUPPORTED',
      `The image is for ${os} on ${architecture}; this machine is linux on ${here}.`,
    )
  }
  return layout
}

function readOci(root: string, reference: string | null): Layout {
  const { manifests } = parse(Index, document(root, 'index.json', null), 'index.json')
  const chosen = choose(root, manifests, reference, 0)
  const manifest = parse(Manifest, blob(root, chosen), 'The manifest')
  const config = parse(ImageConfig, blob(root, manifest.config), 'The configuration')
  const layers = manifest.layers.map(({ digest, size }, i) => ({
    file: fileOf(root, blobName(digest)),
    expected: { digest, size, content: config.rootfs.diff_ids[i] ?? null },
  }))
  checkCount(layers.length, config)
  return { format: 'oci', digest: manifest.config.digest, config, layers }
}

function readDocker(root: string, reference: string | null): Layout {
  const all = parse(DockerManifests, document(root, MARKS.docker, null), MARKS.docker)
  const fitting =
    reference === null ? all : all.filter(({ RepoTags }) => (RepoTags ?? []).includes(reference))
  const [one] = fitting
  const tags = all.flatMap(({ RepoTags }) => RepoTags ?? [])
  if (one === undefined || fitting.length > 1) throw severalImages(tags, reference)
  const name = /(?:^|\/)([0-9a-f]{64})(?:\.json)?$/.exec(one.Config)?.[1]
  if (name === undefined) {
    throw new ThawError('IMAGE_REFUSED', `The configuration ${one.Config} is not named by its digest.`)
  }
  const digest = `sha256:${name}`
  const config = parse(ImageConfig, document(root, one.Config, digest), 'The configuration')
  const layers = one.Layers.map((layer, i) => ({
    file: fileOf(root, layer),
    expected: { digest: null, size: null, content: config.rootfs.diff_ids[i] ?? null },
  }))
  checkCount(layers.length, config)
  return { format: 'docker', digest, config, layers }
}

/** Every layer has a digest of its content: without, it could not be checked. */
function checkCount(layers: number, config: ImageConfig): void {
  const known = config.rootfs.diff_ids.length
  if (known === layers) return
  throw new ThawError('IMAGE_REFUSED', `It has ${layers} layers, and digests of ${known}.`)
}

function choose(root: string, manifests: Descriptor[], reference: string | null, depth: number): Descriptor {
  const here = ARCHITECTURES[process.arch] ?? process.arch
  const named = (one: Descriptor) =>
    one.annotations?.['org.opencontainers.image.ref.name'] ?? one.annotations?.['io.containerd.image.name']
  const runnable = manifests.filter(
    ({ platform }) =>
      platform === null ||
      platform === undefined ||
      (platform.os === 'linux' && platform.architecture === here),
  )
  const fitting =
    reference === null || depth > 0 ? runnable : runnable.filter((one) => named(one) === reference)
  const [one] = fitting
  if (one === undefined && runnable.length === 0 && manifests.length > 0) {
    throw new ThawError('UNSUPPORTED', `It holds no image for linux on ${here}.`)
  }
  if (one === undefined || fitting.length > 1) {
    throw severalImages(
      runnable.map((each) => named(each) ?? each.digest),
      reference,
    )
  }
  if (!/(?:image\.index|manifest\.list)\./.test(one.mediaType ?? '')) return one
  if (depth === DEEPEST_INDEX) throw new ThawError('IMAGE_REFUSED', 'Its indexes lie too deep in each other.')
  return choose(root, parse(Index, blob(root, one), 'An index').manifests, reference, depth + 1)
}

function severalImages(names: readonly string[], reference: string | null): ThawError {
  const what = reference === null ? 'more than one image, or none' : `not exactly one image ${reference}`
  return new ThawError(
    'IMAGE_REFUSED',
    `It holds ${what}${names.length === 0 ? '' : `: ${names.join(', ')}`}.`,
    {
      hint: 'Name the one that is meant with --reference.',
    },
  )
}

function blob(root: string, { digest, size }: Descriptor): unknown {
  return document(root, blobName(digest), digest, size)
}

function blobName(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`
}

function document(root: string, name: string, digest: string | null, size: number | null = null): unknown {
  const file = fileOf(root, name)
  const found = statSync(file).size
  if (found > LARGEST_DOCUMENT || (size !== null && size !== found)) {
    throw new ThawError(
      'IMAGE_REFUSED',
      `${name} has ${found} bytes${size === null ? '' : ` instead of ${size}`}.`,
    )
  }
  const bytes = readFileSync(file)
  const is = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
  if (digest !== null && digest !== is) {
    throw new ThawError('IMAGE_REFUSED', `The digest of ${name} is ${is} instead of ${digest}.`)
  }
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    throw new ThawError('IMAGE_REFUSED', `${name} is no JSON.`, { cause: error })
  }
}

function fileOf(root: string, name: string): string {
  const file = findFile(root, name)
  if (file === null) throw new ThawError('IMAGE_REFUSED', `${name} is missing in it.`)
  return file
}

function parse<T extends z.ZodType>(schema: T, value: unknown, what: string): z.output<T> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new ThawError(
    'IMAGE_REFUSED',
    `${what} is malformed (${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'does not fit'}).`,
  )
}
