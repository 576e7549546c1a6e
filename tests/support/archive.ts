/** Archives and images, made for tests. */
import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pack, type Headers } from 'tar-stream'

export type Member = Partial<Headers> & { name: string; content?: string | Buffer }

export async function tarOf(members: readonly Member[]): Promise<Buffer> {
  const archive = pack()
  for (const { content, ...header } of members) {
    const bytes = content === undefined ? Buffer.alloc(0) : Buffer.from(content)
    if ((header.type ?? 'file') === 'file') archive.entry(header, bytes)
    else archive.entry(header)
  }
  archive.finalize()
  const parts: Uint8Array[] = []
  for await (const part of archive as AsyncIterable<Uint8Array>) parts.push(part)
  return Buffer.concat(parts)
}

export const digestOf = (bytes: Uint8Array) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

export interface LayerFile {
  /** As it lies in the image. */
  bytes: Buffer
  /** Digest of the tar archive in it. */
  content: string
}

interface Described {
  digest: string
  size: number
}

const ARCHITECTURE = process.arch === 'x64' ? 'amd64' : process.arch

/** Writes an OCI layout of these layers; `spoil` may change any of its blobs afterwards. */
export function writeOci(
  directory: string,
  layers: readonly LayerFile[],
  config: Record<string, unknown>,
  architecture = ARCHITECTURE,
): { blob(digest: string): string; layers: Described[] } {
  const blob = (digest: string) => join(directory, 'blobs', digest.replace(':', '/'))
  const put = (bytes: Buffer): Described => {
    const digest = digestOf(bytes)
    mkdirSync(dirname(blob(digest)), { recursive: true })
    writeFileSync(blob(digest), bytes)
    return { digest, size: bytes.length }
  }
  const json = (value: unknown) => put(Buffer.from(JSON.stringify(value)))
  const described = layers.map(({ bytes }) => put(bytes))
  const configured = json({
    os: 'linux',
    architecture,
    config,
    rootfs: { type: 'layers', diff_ids: layers.map(({ content }) => content) },
  })
  const manifest = json({ schemaVersion: 2, config: configured, layers: described })
  writeFileSync(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  writeFileSync(
    join(directory, 'index.json'),
    JSON.stringify({
      schemaVersion: 2,
      manifests: [{ ...manifest, mediaType: 'application/vnd.oci.image.manifest.v1+json' }],
    }),
  )
  return { blob, layers: described }
}

/** What older versions of `docker save` wrote. */
export async function dockerArchive(
  layers: readonly Buffer[],
  config: Record<string, unknown>,
  tag: string,
): Promise<Buffer> {
  const about = Buffer.from(
    JSON.stringify({
      os: 'linux',
      architecture: ARCHITECTURE,
      config,
      rootfs: { type: 'layers', diff_ids: layers.map(digestOf) },
    }),
  )
  const name = `${digestOf(about).slice(7)}.json`
  const files = layers.map((content, i) => ({ name: `layer${i}/layer.tar`, content }))
  const manifest = [{ Config: name, RepoTags: [tag], Layers: files.map((file) => file.name) }]
  return tarOf([
    ...files,
    { name, content: about },
    { name: 'manifest.json', content: JSON.stringify(manifest) },
  ])
}
