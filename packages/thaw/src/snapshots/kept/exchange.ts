/** Snapshots of machines that leave as files, and come as files. Format: docs/export.md. */
import { existsSync, linkSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  Image,
  ImageName,
  SnapshotName,
  type ExportedSnapshot,
  type ImportedSnapshot,
  type SnapshotImportRequest,
} from '@thaw/protocol'
import { z } from 'zod'
import type { ImageKeeper } from '../../engines/process/keeper.js'
import { ENTRY, EXPORT_FORMAT } from '../../engines/process/parcel.js'
import { MANIFEST } from '../../engines/sealed.js'
import { checkChain, diskName } from '../../engines/vm/disks.js'
import { Manifest, sealImage } from '../../engines/vm/image.js'
import type { VmEngine } from '../../engines/vm/vm.js'
import { ThawError, type Scope } from '../../system/index.js'
import { DISK, ROOT, type Images } from '../images/images.js'
import { digestAll, measure } from './integrity.js'
import type { Snapshots } from './snapshots.js'

/** They say who is who in a machine; all else of its root file system is on its disk. */
const USERS = ['etc/passwd', 'etc/group'] as const

/** What is to be known of a snapshot elsewhere, beside its files. */
const About = z.object({
  format: z.literal(EXPORT_FORMAT),
  snapshot: z.object({
    name: SnapshotName.nullable(),
    prepare: z.array(z.string()).nullable(),
    cold_seconds: z.number().nullable(),
  }),
  image: Image.extend({
    id: z.string().regex(/^img_[0-9a-z]{1,32}$/),
    name: ImageName,
    kind: z.literal('rootfs'),
    engine: z.literal('vm'),
  }),
  users: z.partialRecord(z.enum(USERS), z.string()),
})

export interface Exchange {
  snapshots: Snapshots
  images: Images
  machines: VmEngine
  keeper: ImageKeeper
}

/** @throws ThawError SNAPSHOT_NOT_FOUND, SNAPSHOT_FAILED, UNSUPPORTED, EXPORT_UNWRITABLE, DISK_FULL */
export async function exportSnapshot(
  { snapshots, images, keeper }: Exchange,
  given: string,
  file: string,
  scope: Scope,
): Promise<ExportedSnapshot> {
  const { id, name, engine, cold_seconds, image_id } = snapshots.get(given)
  if (engine !== 'vm') {
    throw new ThawError('UNSUPPORTED', `${given} is of processes, which need the files around them.`, {
      hint: 'Snapshots of machines (`"engine": "vm"`) and checkpoints of runs can be exported.',
    })
  }
  const [prepare = null, ...more] = snapshots.preparations(id)
  if (more.length > 0) {
    throw new ThawError(
      'UNSUPPORTED',
      `${given} was prepared in several steps: it could not be rebuilt elsewhere.`,
      {
        hint: 'Make a snapshot of the image with one `--prepare` that does all of it.',
      },
    )
  }
  using lease = await snapshots.open(id, scope)
  const { directory } = lease.copy
  const image = images.get(image_id)
  const root = images.rootOf(image) ?? ''
  const users = USERS.filter((path) => existsSync(join(root, path)))
  const about = {
    format: EXPORT_FORMAT,
    snapshot: { name, prepare, cold_seconds },
    image,
    users: Object.fromEntries(users.map((path) => [path, readFileSync(join(root, path), 'utf8')])),
  }
  const bytes = await keeper.write({
    file,
    about,
    texts: { [ENTRY.manifest]: readFileSync(join(directory, MANIFEST), 'utf8') },
    roots: [{ from: directory, as: ENTRY.image, without: [MANIFEST], sparse: true }],
  })
  return { snapshot: id, file, bytes }
}

/**
 * A snapshot of a file, and its image where that is not here yet.
 *
 * @throws ThawError IMPORT_REFUSED, NAME_TAKEN, DISK_FULL, FILE_UNREADABLE; then nothing of it is left
 */
export async function importSnapshot(
  { snapshots, images, machines, keeper }: Exchange,
  { file, name }: SnapshotImportRequest,
  scope: Scope,
): Promise<ImportedSnapshot> {
  using draft = snapshots.draft()
  const read = await keeper.read(file, draft.path, 'machine')
  const about = parse(About, read.about, 'what it says of the snapshot')
  const {
    format: _format,
    engine: _engine,
    sizes,
    ...manifest
  } = parse(Manifest, read.manifest, 'its manifest')
  const called = name ?? about.snapshot.name
  snapshots.checkName(called)
  const unpacked = join(draft.path, ENTRY.image)
  checkChain(unpacked)
  const copy = await sealImage(unpacked, draft.final, manifest)
  const found = copy.manifest.sizes
  const names = new Set([...Object.keys(sizes), ...Object.keys(found)])
  if ([...names].some((one) => sizes[one] !== found[one])) {
    throw new ThawError('IMPORT_REFUSED', 'The file was not imported: its image is not whole.')
  }
  const digests = await digestAll(copy.directory, scope)
  const warnings = await machines.differences(copy, scope)
  const known = images.list().find(({ id }) => id === about.image.id)
  const image =
    known ??
    images.adopt(about.image, (directory) => {
      linkSync(join(copy.directory, diskName(0)), join(directory, DISK))
      mkdirSync(join(directory, ROOT, 'etc'), { recursive: true })
      for (const [path, text] of Object.entries(about.users)) writeFileSync(join(directory, ROOT, path), text)
    })
  const sizesHere = measure(copy.directory, Object.keys(digests))
  const made = { copy, digests, sizes: sizesHere, seconds: about.snapshot.cold_seconds ?? 0 }
  return {
    snapshot: snapshots.adopt({ image, name: called, prepare: about.snapshot.prepare }, made),
    warnings,
  }
}

function parse<T extends z.ZodType>(schema: T, text: string, what: string): z.output<T> {
  try {
    return schema.parse(JSON.parse(text))
  } catch (error) {
    throw new ThawError('IMPORT_REFUSED', `The file was not imported: ${what} is malformed.`, {
      cause: error,
    })
  }
}
